// A page shows the answer to what was asked last, or what is wrong with it: never one of them beside
// the other's elder. Answers stand in what is marked as `data-answer`.
"use strict";
{
  const problem = document.getElementById("problem");
  const unanswered = document.getElementById("unanswered");

  function settled(ctx, without) {
    for (const each of ctx?.answers ?? []) {
      each.inert = false;
      if (without) each.replaceChildren();
    }
  }

  document.addEventListener("htmx:before:request", ({target: form, detail: {ctx}}) => {
    if (!form.matches?.("form")) return; // nobody has pressed anything, or what asks is gone
    problem?.replaceChildren();
    const within = (each) => ctx.target?.contains(each);
    ctx.answers = [...document.querySelectorAll("[data-answer]")].filter(within);
    for (const each of ctx.answers) each.inert = true; // its buttons are of what was asked before
  });

  document.addEventListener("htmx:after:swap", ({detail: {ctx}}) => {
    settled(ctx, ctx.hx?.retarget === "#problem");
  });

  document.addEventListener("htmx:error", ({detail: {ctx}}) => {
    settled(ctx, true);
    if (ctx?.answers) problem?.replaceChildren(unanswered.content.cloneNode(true));
  });
}
