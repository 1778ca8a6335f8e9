// A file that is chosen is read into the text beside it: it is seen before it is sent.
"use strict";
for (const chosen of document.querySelectorAll("input[data-into]")) {
  chosen.addEventListener("change", async () => {
    const [file] = chosen.files;
    if (file) document.getElementById(chosen.dataset.into).value = await file.text();
  });
}
