// The desk's box: a scan opens a card, one key and Enter presses a button, and no scan is lost.
"use strict";
{
  const at = (selector) => document.querySelector(selector);
  const [box, ask, card, receipts] = ["#box", "#ask", "#card", "#receipts"].map(at);
  const [waiting, problem] = ["#waiting", "#problem"].map(at);
  const queue = []; // what was scanned while another card was open
  const REST_MS = 2_000;
  let asked = null; // what the server is looking up
  let resting = false;

  let shown = null; // what was asked of what is open
  const open = () => card.querySelector("[data-open]");
  const chosen = () => open()?.dataset.member;

  function show() {
    waiting.replaceChildren(...queue.map((text) => {
      const each = document.createElement("li");
      each.textContent = text;
      return each;
    }));
    waiting.hidden = !queue.length;
  }

  function find(said, companions = 0) {
    asked = shown = said;
    problem.replaceChildren();
    ask.elements.said.value = said;
    ask.elements.companions.value = companions;
    ask.requestSubmit();
  }

  const COMPANIONS = /^\+\d{1,2}$/;

  // More letters of the name of which there are several; another scan waits its turn.
  const narrows = (text) => text.length > shown.length && text.startsWith(shown);

  function next() {
    const member = chosen();
    if (asked === null && !resting && queue.length && navigator.onLine) {
      if (member && COMPANIONS.test(queue[0])) find(member, Number(queue.shift()));
      else if (!open() || (!member && narrows(queue[0]))) find(queue.shift());
    }
    show();
  }

  function press(key) {
    const button = card.querySelector(`[data-key="${key}"]`);
    if (button) button.click();
    else problem.replaceChildren(at("#no-button").content.cloneNode(true));
  }

  // What lets nothing be pressed keeps nobody waiting; nor does a list, of which one or nobody is meant.
  const givesWay = () => !chosen() || (!queue.length && !card.querySelector("[data-key]"));

  function taken(text) {
    if (text === "-") {
      receipts.querySelector("[data-undo]")?.click();
    } else if (/^[1-9]$/.test(text) && (open() || asked !== null)) {
      // What was not seen yet is not chosen: a key that comes before its button does nothing.
      if (asked === null) press(text);
    } else if (text && open() && COMPANIONS.test(text)) {
      queue.unshift(text); // of the card that is open, before those that wait
      next();
    } else if (text && open() && givesWay() && asked === null && navigator.onLine) {
      find(text);
    } else if (text) {
      queue.push(text);
      next();
    }
  }

  at("#scan").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = box.value.normalize("NFKC").trim(); // what a keyboard in full width writes
    box.value = "";
    taken(text);
  });

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      card.replaceChildren();
      problem.replaceChildren();
      box.value = "";
      box.focus();
      next();
    } else if (event.key.length === 1 && event.key !== " " && !event.ctrlKey && !event.metaKey
        && !event.altKey && !event.target.matches("input, select, textarea")) {
      box.focus(); // before the key is taken, so that the box has it
    }
  });

  document.addEventListener("htmx:after:swap", () => {
    begin();
    for (const news of receipts.querySelectorAll("[data-news]")) {
      // Another card may have been opened meanwhile.
      if (news.dataset.news && news.dataset.news === chosen()) card.replaceChildren();
      problem.replaceChildren();
      delete news.dataset.news;
    }
    if (!document.activeElement?.matches("aside input, .emergency *")) box.focus();
  });

  document.addEventListener("htmx:finally:request", (event) => {
    if (event.target === ask) asked = null;
    next();
  });

  document.addEventListener("htmx:error", (event) => {
    if (event.target !== ask || asked === null) return;
    queue.unshift(asked);
    resting = true; // whoever does not answer is asked again, and not all the time
    setTimeout(() => {
      resting = false;
      next();
    }, REST_MS);
    show();
  });

  // What may be taken back for a while is offered no longer than that.
  const ends = new WeakMap();
  function begin() {
    for (const each of document.querySelectorAll("[data-left-s]")) {
      if (!ends.has(each)) ends.set(each, Date.now() + each.dataset.leftS * 1_000);
    }
  }
  setInterval(() => {
    begin();
    for (const each of document.querySelectorAll("[data-left-s]")) {
      if (Date.now() < ends.get(each)) continue;
      const over = document.createElement("small");
      over.textContent = each.dataset.over;
      each.replaceWith(over);
    }
  }, 1_000);

  function network() {
    at("#offline").hidden = navigator.onLine;
    if (navigator.onLine) next();
  }
  addEventListener("online", network);
  addEventListener("offline", network);
  network();
}
