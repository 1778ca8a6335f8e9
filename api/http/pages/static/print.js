// A button that prints the receipt it stands in, alone; elsewhere the page.
"use strict";
document.addEventListener("click", (event) => {
  if (!event.target.matches("[data-print]")) return;
  const one = event.target.closest(".receipt") ?? document.querySelector("main");
  one.classList.add("printed");
  window.print();
  one.classList.remove("printed");
});
