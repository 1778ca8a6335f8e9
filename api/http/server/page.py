"""The one page: whoever opens the link of an invitation chooses a password. The secret stands
behind the `#`, which no browser sends, so it is in no log; the page takes it out of the address.
"""

from base64 import b64encode
from hashlib import sha256

from api.doors import PREFIX

INVITED_PATH = "/invitations/take"
"""Of the page that a link of an invitation opens; behind `PREFIX`, of what the page sends."""

SCRIPT = f"""
const form = document.forms[0], said = document.querySelector("output")
const invitation = location.hash.slice(1), invited = invitation.split("_")[1]
history.replaceState(null, "", location.pathname)
if (invited !== "-") form.user_id.value = invited || ""
form.addEventListener("submit", async event => {{
  event.preventDefault()
  const [user_id, password] = [form.user_id.value, form.password.value]
  const answer = await fetch("{PREFIX}{INVITED_PATH}", {{
    method: "POST",
    headers: {{"content-type": "application/json"}},
    body: JSON.stringify({{invitation, user_id, password}}),
  }})
  const told = await answer.json()
  said.textContent = answer.ok ? `${{told.user_id}} may sign in now.` : told.detail
  form.hidden = answer.ok
}})
"""
PAGE = f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>clubledger: choose a password</title>
<h1>Choose a password</h1>
<form>
<p><label>Name <input name="user_id" required maxlength="32" pattern="[a-z0-9][a-z0-9\\-]*"
 autocomplete="username"></label>
<p><label>Password, of 12 characters or more <input name="password" type="password" required
 minlength="12" maxlength="256" autocomplete="new-password"></label>
<p><button>Take it</button>
</form>
<output></output>
<script>{SCRIPT}</script>
</html>
"""
_DIGEST = b64encode(sha256(SCRIPT.encode()).digest()).decode()
HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; script-src 'sha256-{_DIGEST}';"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}
"""Nothing but its own script runs, asks nobody but us, and stands in no frame."""
