"""Pages for people, in Chinese and English, rendered here from the doors' commands and answers.

No rule stands in a template: what a button does and costs is what a dry run of its command says.
"""
