"""What stands at the end of each command's help: how it is typed. A test parses them all."""

from inspect import getdoc

import typer

EXAMPLES = {
    "demo": "clubledger demo --scale 0.002 --data-dir tiny",
    "figures": "clubledger figures --report vip-2008 --explain binding.rate",
    "changes": "clubledger changes --from 2008-11-30 --to 2008-12-31",
    "doubts": "clubledger doubts --limit 20",
    "serve": "clubledger serve --port 8080 --workers 2",
    "project": "clubledger project",
    "rebuild": "clubledger rebuild --anew",
    "compare": "clubledger compare --second-opinion",
    "what-if": "clubledger what-if scenario.toml --top 10",
    "import": "clubledger import members.jsonl bills.jsonl",
    "member": "clubledger member m000003 --statement",
    "events": "clubledger events --stream member:m000003 --limit 10",
    "command": "clubledger command desk-7",
    "ask": "clubledger ask club club_id=health",
    "list": "clubledger list members --limit 20",
    "measures": "clubledger measures",
    "measure": "clubledger measure members.vips --on 2008-12-31",
    "space": "clubledger space --json",
    "webhooks": "clubledger webhooks",
    "status": "clubledger status",
    "doctor": "clubledger doctor",
    "backup": "clubledger backup /backups/2009-01-05",
    "archive": "clubledger archive /backups/log",
    "restore": "clubledger restore /backups/2009-01-05 --archive /backups/log",
    "clock": "clubledger clock",
    "sql": "clubledger sql",
    "exceptions": "clubledger exceptions",
}


def summary(thing: object) -> str:
    """What something is for: the first paragraph of its documentation, in one line."""
    return " ".join((getdoc(thing) or "").split("\n\n")[0].split())


def give_examples(app: typer.Typer, of: str = "") -> None:
    """Put them where help is made. A list of commands has the whole summary of each, over several
    lines where it is narrow. `of`: the group in which they stand."""
    for group in app.registered_groups:
        within = group.typer_instance
        assert within is not None
        known = within.registered_callback
        group.short_help = within.info.help or summary(known and known.callback)
        give_examples(within, group.name or within.info.name or of)
    for each in app.registered_commands:
        each.short_help = summary(each.callback)
        name = f"{of} {each.name or getattr(each.callback, '__name__', '')}".strip()
        if name in EXAMPLES:
            each.epilog = f"\b\nExample:\n  {EXAMPLES[name]}"
