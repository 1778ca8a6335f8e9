// A page shows the answer to what was asked last, or what is wrong with it: never one of them beside
// the other's elder. Answers stand in what is marked as `data-answer`.
//
// What a page asks for by itself (`again` is among its triggers) and did not get, or what does not
// hold yet what was written before it, is asked for again: nobody pressed anything to be told of.
"use strict";
{
  const problem = document.getElementById("problem");
  const unanswered = document.getElementById("unanswered");
  const REST_MS = 2_000;
  const LATER = [502, 503, 504]; // the first is told by a proxy whose server is away
  const missing = new Map(); // who asked last for what did not come, by where it goes

  function settled(ctx, without) {
    for (const each of ctx?.answers ?? []) {
      each.inert = false;
      if (without) each.replaceChildren();
    }
  }

  function missed(asker, ctx) {
    if (!ctx || !asker.matches?.("[hx-trigger*=again]")) return false;
    missing.set(ctx.target, asker);
    setTimeout(again, REST_MS);
    return true;
  }

  function again() {
    if (!navigator.onLine) return;
    const askers = [...missing.values()];
    missing.clear();
    for (const asker of askers) asker.dispatchEvent(new Event("again"));
  }

  document.addEventListener("htmx:before:request", ({target: form, detail: {ctx}}) => {
    missing.delete(ctx.target); // whoever asks for it now is told no less
    if (!form.matches?.("form")) return; // nobody has pressed anything, or what asks is gone
    problem?.replaceChildren();
    const within = (each) => ctx.target?.contains(each);
    ctx.answers = [...document.querySelectorAll("[data-answer]")].filter(within);
    for (const each of ctx.answers) each.inert = true; // its buttons are of what was asked before
  });

  document.addEventListener("htmx:after:request", (event) => {
    const {target, detail: {ctx}} = event;
    if (LATER.includes(ctx.response.status) && missed(target, ctx)) event.preventDefault();
  });

  document.addEventListener("htmx:after:swap", ({detail: {ctx}}) => {
    settled(ctx, ctx.hx?.retarget === "#problem");
  });

  document.addEventListener("htmx:error", ({target, detail: {ctx}}) => {
    settled(ctx, true);
    if (ctx?.answers) problem?.replaceChildren(unanswered.content.cloneNode(true));
    missed(target, ctx);
  });

  addEventListener("online", again);
}
