// The files that were chosen are brought, part by part, before the form that names them is sent.
"use strict";
{
  const the = (id) => document.getElementById(id);
  const form = the("bringing"), progress = the("bringing_progress");
  const headers = {
    ...JSON.parse(document.body.getAttribute("hx-headers:inherited") ?? "{}"),
    "Content-Type": "application/octet-stream", "HX-Request": "true",
  };
  let busy = false, brought = false;

  const field = (name, value) =>
    Object.assign(document.createElement("input"), {type: "hidden", name, value});

  // Its id; nothing, if it is refused, which is told in place.
  async function bring(file) {
    const most = Number(form.dataset.partBytes);
    let id = "", sent = 0;
    do {
      const to = id ? `?file_id=${id}&offset=${sent}` : "";
      const body = file.slice(sent, sent + most);
      const answer = await fetch(form.dataset.parts + to, {method: "POST", headers, body});
      const said = await answer.text();
      if (!/^[0-9a-f]{16}$/.test(said)) {
        the("problem").innerHTML = said;
        return "";
      }
      id = said;
      sent += body.size;
      progress.value += body.size;
    } while (sent < file.size);
    return id;
  }

  async function bringAll(step) {
    const files = [...the("chosen").files], fields = [field("step", step)];
    progress.max = files.reduce((sum, file) => sum + file.size, 1);
    progress.value = 0;
    for (const file of files) {
      const id = await bring(file);
      if (!id) return false;
      fields.push(field("file", `${id} ${file.name}`));
    }
    the("brought").replaceChildren(...fields);
    return true;
  }

  document.addEventListener("submit", async (event) => {
    if (event.target !== form || brought) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (busy) return;
    busy = true;
    progress.hidden = false;
    the("unreached").hidden = true;
    the("problem").replaceChildren();
    try {
      brought = await bringAll(event.submitter?.dataset.step ?? "check");
      if (brought) form.requestSubmit();
    } catch { // no network, or a file that has changed since it was chosen
      the("unreached").hidden = false;
    } finally {
      busy = brought = false;
      progress.hidden = true;
    }
  }, true);

  // What was shown is of other files, or of another mapping.
  form.addEventListener("input", () => the("job").replaceChildren());
}
