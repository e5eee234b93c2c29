// What the page does beyond a form and links: search while typing, pictures dropped or pasted, arrow keys, the large view.
// Every answer is the page that a browser without JavaScript gets; its results are put in place of those shown.

const form = document.getElementById("ask");
const input = form.elements.q;
const file = form.elements.picture;
const dialog = document.getElementById("large");
const PAUSE = 350; // milliseconds without a key before what is typed is searched

let picture = null; // the file that is searched by, instead of words
let composing = false; // an input method is putting a character together: what stands in the field is not yet a word
let timer = 0;
let running = null;
let asked = "";

document.documentElement.classList.add("with-script");
if (matchMedia("(max-width: 40rem)").matches) form.querySelector("details").open = false; // on a phone the pictures come first

const results = () => document.getElementById("results");

function address() {
  const given = new URLSearchParams();
  for (const [name, value] of new FormData(form)) {
    const usual = form.elements[name].selectedIndex === 0; // of a list, the first choice is what holds without one
    if (typeof value === "string" && value.trim() && !usual) given.set(name, value);
  }
  return given.size ? `/?${given}` : "/";
}

async function search(push) {
  clearTimeout(timer);
  if (picture !== null && picture.size > Number(form.dataset.most)) return say("heavy");
  const where = address();
  if (picture === null && where === asked) return;
  running?.abort();
  running = new AbortController();
  results().setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(picture === null ? where : form.querySelector("[formaction]").getAttribute("formaction"), { ...request(), signal: running.signal, cache: "no-store" });
    show(await answer.text());
  } catch (error) {
    if (error.name !== "AbortError") say("silent");
    return;
  }
  asked = picture === null ? where : "";
  if (picture === null) history[push ? "pushState" : "replaceState"](null, "", where);
}

function request() {
  if (picture === null) return {};
  const body = new FormData(form);
  body.delete("q");
  body.set("picture", picture, picture.name || "picture");
  return { method: "POST", body };
}

function show(text) {
  const page = new DOMParser().parseFromString(text, "text/html");
  const found = page.getElementById("results");
  if (found === null) return location.reload(); // the token is asked for again
  results().replaceWith(document.adoptNode(found));
  document.title = page.title;
  const spoken = found.dataset.lang;
  if (picture === null) input.lang = spoken;
  form.elements.lang.options[0].textContent = found.dataset.detected;
  settle();
}

function say(name) {
  const box = results();
  box.replaceChildren(document.getElementById(name).content.cloneNode(true));
  box.removeAttribute("aria-busy");
  asked = "";
}

// Words. While an input method composes nothing is sent, and its Enter chooses a character, it does not search.
input.addEventListener("compositionstart", () => { composing = true; clearTimeout(timer); });
input.addEventListener("compositionend", () => { composing = false; later(); });
input.addEventListener("input", (event) => { if (!composing && !event.isComposing) later(); });
input.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (composing || event.isComposing || event.keyCode === 229)) event.preventDefault();
  if (event.key === "ArrowDown" && !event.isComposing) focusCard(cards()[0], event);
});

function later() {
  picture = null;
  file.value = "";
  clearTimeout(timer);
  timer = setTimeout(search, PAUSE, false);
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (composing) return;
  if (input.value.trim()) picture = null;
  search(true);
});
form.addEventListener("change", (event) => {
  if (event.target === file) return byPicture(file.files[0]);
  if (event.target === form.elements.model) return location.assign(address()); // another model has other folders
  if (event.target !== input) search(true);
});
window.addEventListener("popstate", () => location.reload());
document.querySelector(".tongue select").addEventListener("change", (event) => {
  const given = new URL(location.href);
  given.searchParams.set("ui", event.target.value);
  location.assign(given);
});

// Pictures
function byPicture(chosen) {
  if (!chosen) return;
  picture = chosen;
  input.value = "";
  search(true);
}

const carries = (transfer) => [...(transfer?.types ?? [])].includes("Files");
const drop = document.getElementById("drop");
let depth = 0;
window.addEventListener("dragenter", (event) => { if (carries(event.dataTransfer)) { depth += 1; drop.hidden = false; } });
window.addEventListener("dragleave", (event) => { if (carries(event.dataTransfer)) { depth -= 1; drop.hidden = depth <= 0; } });
window.addEventListener("dragover", (event) => { if (carries(event.dataTransfer)) event.preventDefault(); });
window.addEventListener("drop", (event) => {
  depth = 0;
  drop.hidden = true;
  if (!carries(event.dataTransfer)) return;
  event.preventDefault();
  byPicture(event.dataTransfer.files[0]);
});
window.addEventListener("paste", (event) => {
  const pasted = [...(event.clipboardData?.files ?? [])].find((each) => each.type.startsWith("image/"));
  if (pasted) { event.preventDefault(); byPicture(pasted); }
});

// The grid: one stop of the Tab key, arrows inside it, by where the cards are seen (so that right-to-left grids need no rule of their own).
const cards = () => [...document.querySelectorAll("#results .card")];

function settle() {
  cards().forEach((card, number) => { card.tabIndex = number ? -1 : 0; });
}

function focusCard(card, event) {
  if (!card) return;
  event?.preventDefault();
  cards().forEach((each) => { each.tabIndex = each === card ? 0 : -1; });
  card.focus();
  card.scrollIntoView({ block: "nearest" });
}

const middle = (box) => [(box.left + box.right) / 2, (box.top + box.bottom) / 2];
const WAYS = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };

function neighbour(card, [right, down]) {
  const [x, y] = middle(card.getBoundingClientRect());
  let best = null, least = Infinity;
  for (const each of cards()) {
    const [ex, ey] = middle(each.getBoundingClientRect());
    const along = (ex - x) * right + (ey - y) * down, across = Math.abs((ex - x) * down) + Math.abs((ey - y) * right);
    if (along > 1 && along + 3 * across < least) { best = each; least = along + 3 * across; }
  }
  return best;
}

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
  const card = document.activeElement?.closest?.("#results .card");
  if (dialog.open) {
    const on = document.documentElement.dir === "rtl" ? -1 : 1;
    if (event.key === "ArrowRight") step(on);
    if (event.key === "ArrowLeft") step(-on);
  } else if (card && event.key in WAYS) {
    const next = neighbour(card, WAYS[event.key]);
    if (next) focusCard(next, event);
    else if (event.key === "ArrowUp") { event.preventDefault(); input.focus(); }
  } else if (card && (event.key === "Home" || event.key === "End")) {
    focusCard(cards().at(event.key === "Home" ? 0 : -1), event);
  } else if (event.key === "/" && !(document.activeElement?.matches("input, select, textarea"))) {
    event.preventDefault();
    input.select();
  }
});

// The large view: a modal dialog, which keeps the focus inside and closes on Escape by itself.
let open = null;

function enlarge(card) {
  open = card;
  const image = dialog.querySelector("img");
  image.src = card.dataset.large;
  image.alt = card.querySelector("img").alt;
  dialog.querySelector(".path").textContent = image.alt;
  dialog.querySelector(".value").textContent = card.querySelector(".value")?.textContent ?? "";
  dialog.querySelector("[data-do=like]").href = card.dataset.like;
  if (!dialog.open) dialog.showModal();
}

function step(by) {
  const all = cards(), next = all[all.indexOf(open) + by];
  if (next) enlarge(next);
}

document.addEventListener("click", (event) => {
  const card = event.target.closest?.("#results .card");
  if (card && !event.ctrlKey && !event.metaKey && !event.shiftKey && event.button === 0) { event.preventDefault(); enlarge(card); }
});
dialog.addEventListener("click", (event) => {
  const what = event.target.closest("[data-do]")?.dataset.do;
  if (what === "before") step(-1);
  if (what === "after") step(1);
  if (what === "close" || event.target === dialog) dialog.close();
});
dialog.addEventListener("close", () => focusCard(open?.isConnected ? open : null));
document.addEventListener("error", (event) => { if (event.target.matches?.("#results img")) event.target.closest(".card")?.classList.add("gone"); }, true);

asked = address();
settle();
