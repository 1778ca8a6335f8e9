// A password that is chosen can be looked at, instead of being typed a second time.
"use strict";
for (const box of document.querySelectorAll("[data-reveal]")) {
  box.addEventListener("change", () => {
    for (const each of box.form.querySelectorAll("[autocomplete$=-password]")) {
      each.type = box.checked ? "text" : "password";
    }
  });
}
