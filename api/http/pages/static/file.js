// A file that is chosen is read into the box as text; results in a box can be kept as a file.
"use strict";
{
  const box = (name) => name && document.getElementById(name);

  function text(bytes) {
    for (const encoding of ["utf-8", "gb18030"]) {
      try {
        return new TextDecoder(encoding, {fatal: true}).decode(bytes);
      } catch {} // the next
    }
    return "";
  }

  document.addEventListener("change", async (event) => {
    const into = box(event.target.dataset.into);
    const file = event.target.files?.[0];
    if (into && file) into.value = text(await file.arrayBuffer());
  });

  document.addEventListener("click", (event) => {
    const from = box(event.target.dataset.save);
    if (!from) return;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(["\ufeff", from.value], {type: "text/csv"}));
    link.download = `${event.target.dataset.save}.csv`;
    link.click();
    URL.revokeObjectURL(link.href);
  });
}
