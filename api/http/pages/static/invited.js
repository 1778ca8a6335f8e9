// The secret of an invitation: out of the address, into the form.
"use strict";
{
  const { elements } = document.querySelector("form[hx-post='/invitations/choose']");
  const [, invited = ""] = location.hash.split("_");
  elements.invitation.value = location.hash.slice(1);
  if (invited !== "-") elements.user_id.value = invited;
  elements[elements.user_id.value ? "password" : "user_id"].focus();
  history.replaceState(null, "", location.pathname);
}
