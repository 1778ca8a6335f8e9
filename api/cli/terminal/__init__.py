"""What every command of the command line needs: streams, options, output, files."""
