// Findings, and their inputs one by one: a key says what is to be done with each, and it is written down at once.
import { strings } from "./strings.js";

const find = (id) => document.getElementById(id);
const texts = new Map(); // number of an input -> a promise of its text
let language = navigator.language.startsWith("zh") ? 1 : 0;
let state = null;
let finding = 0;
let at = []; // of each finding, which of its suspects is shown
let swapped = false; // whether the other one is judged
let work = Promise.resolve(); // keys are obeyed one after the other, however fast they are pressed

const say = (name, ...parts) =>
  parts.reduce((text, part, place) => text.replace(`{${place}}`, () => part), strings[name][language]);

function make(name, text = "", kind = "") {
  const made = document.createElement(name);
  made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

async function request(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error(say("offline"));
  }
  if (answer.headers.get("Content-Type")?.startsWith("text/plain")) return answer.text();
  const told = await answer.json();
  if (!answer.ok) throw new Error(told.error);
  return told;
}

const post = (path, body) =>
  request(path, { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });

const suspects = () => state.findings[finding]?.suspects ?? [];
const suspect = () => suspects()[at[finding]];
const judged = () => (swapped && suspect().other !== null ? suspect().other : suspect().input);
const compared = () => (swapped && suspect().other !== null ? suspect().input : suspect().other);

// The words about an input that answer a kind of finding: about the input itself, or about it beside this other one.
const said = (number, kind, other) =>
  (state.answers[number]?.answers ?? []).filter(
    (one) => [kind, "all"].includes(one.kind) && [null, other].includes(one.other));

// Whether nothing is left to be said: of copies with two labels, one word about either is enough.
function settled(one, kind) {
  if ([one.input, one.other].some((number) => state.answers[number]?.decision === "drop")) return true;
  if (said(one.input, kind, one.other).length) return true;
  if (one.other === null) return false;
  return said(one.other, kind, one.input).some((word) => one.contradiction || word.other !== null || word.word === "relabel");
}

const done = (one) => one.suspects.filter((suspect) => settled(suspect, one.kind));

const status = (text, kind = "") => {
  find("status").textContent = text;
  find("status").className = kind;
};

const title = (kind) => (strings[`kind_${kind}`] ? say(`kind_${kind}`) : kind.replaceAll("_", " "));

function translate() {
  document.documentElement.lang = language ? "zh-CN" : "en";
  for (const one of document.querySelectorAll("[data-say]")) one.textContent = say(one.dataset.say);
  for (const one of document.querySelectorAll("[data-title]")) one.title = one.ariaLabel = say(one.dataset.title);
  find("findings").ariaLabel = say("findings");
  find("language").textContent = language ? "English" : "中文";
  const said = [["J → ↓, P ← ↑", "move"], ["K", "keep"], ["D", "drop"], ["R", "relabel"], ["S", "same"], ["N", "different"], ["O", "swap"],
    ["Enter", "accept"], ["U", "undo"], ["Tab, Shift Tab", "tab"], ["L", "language"]];
  find("list").replaceChildren(...said.flatMap(([key, name]) => [make("dt", key), make("dd", say(`key_${name}`))]));
  if (state) show();
}

function show() {
  showFindings();
  const one = state.findings[finding];
  find("message").textContent = one ? one.message : say("clean");
  find("remedy").textContent = one?.remedy ?? "";
  const shown = suspect();
  find("where").hidden = find("actions").hidden = !shown;
  if (!shown) {
    const examples = one ? make("p", one.examples.join("\n"), "examples") : "";
    const samples = make("div", "", "samples");
    samples.append(...(one?.files ?? []).map(sample));
    find("pair").replaceChildren(make("p", one ? say("nothing") : "", "note"), examples, samples);
    return;
  }
  find("position").textContent = say("position", at[finding] + 1, suspects().length);
  const clue = [shown.suggested ? say("seems", shown.suggested) : "", shown.score < 1 ? say("score", shown.score) : ""];
  find("clue").textContent = clue.filter(Boolean).join(" · ");
  find("accept").textContent = shown.suggested && !swapped ? shown.suggested : say("accept");
  document.querySelector("[data-act=accept]").disabled = !shown.suggested || swapped;
  for (const name of ["same", "different", "swap"]) document.querySelector(`[data-act=${name}]`).disabled = shown.other === null;
  find("pair").replaceChildren(figure(judged(), "judged"), ...(compared() === null ? [] : [figure(compared(), "compared")]));
  prefetch();
}

function showFindings() {
  const marks = { error: "✕", warning: "!", info: "i" };
  const rows = state.findings.map((one, place) => {
    const row = make("button", "", one.severity);
    const count = done(one).length;
    row.type = "button";
    row.tabIndex = -1;
    row.append(make("span", marks[one.severity], "mark"), make("span", title(one.kind), "kind"));
    row.append(make("span", one.suspects.length ? `${count} / ${one.suspects.length}` : "", "number"));
    if (one.suspects.length && count === one.suspects.length) row.classList.add("done");
    if (place === finding) row.ariaCurrent = "true";
    row.addEventListener("click", () => choose(place));
    return row;
  });
  find("findings").replaceChildren(...rows);
  rows[finding]?.scrollIntoView({ block: "nearest", inline: "nearest" });
  const every = state.findings.flatMap((one) => one.suspects).length;
  const answered = state.findings.flatMap(done).length;
  find("bar").max = Math.max(every, 1);
  find("bar").value = answered;
  find("count").textContent = say("count", answered, every);
}

function figure(number, role) {
  const input = state.inputs[number];
  const box = make("figure", "", role);
  const view = make("div", "", "view");
  if (input.reason && !input.label) view.append(make("p", input.reason, "error"));
  else view.append(picture(number, input, view));
  const caption = make("figcaption");
  caption.append(make("strong", input.label || say("unlabelled"), "label"), ...badges(number));
  caption.append(make("span", input.path, "path"), make("span", about(input), "note"));
  box.append(make("span", say(role), "role"), view, caption);
  return box;
}

// One of the inputs that a finding is about, which is not to be judged by itself.
function sample(number) {
  const box = make("figure", "", "sample");
  const view = make("div", "", "view");
  view.append(picture(number, state.inputs[number], view));
  box.append(view, make("figcaption", state.inputs[number].path));
  return box;
}

function picture(number, input, view) {
  const hidden = (reason) => view.replaceChildren(make("p", say("hidden", reason), "error"));
  if (state.shows === "text") {
    const text = make("pre", "…");
    text.tabIndex = -1;
    words(number).then((told) => (text.textContent = told), (error) => hidden(error.message));
    return text;
  }
  const image = make("img");
  image.alt = input.path;
  image.src = `input/${number}`;
  image.addEventListener("error", () => request(`input/${number}`).catch((error) => hidden(error.message)));
  return image;
}

function words(number) {
  if (!texts.has(number)) texts.set(number, request(`input/${number}`));
  return texts.get(number);
}

function badges(number) {
  const answer = state.answers[number];
  if (!answer) return [];
  const names = { keep: "kept", drop: "dropped", relabel: "relabelled", same: "joined", different: "parted" };
  const { input, other } = suspect();
  const here = said(number, state.findings[finding].kind, number === input ? other : input);
  // What was kept for another finding says nothing of this one.
  const word = ["drop", "relabel"].includes(answer.decision) ? answer.decision : here.at(-1)?.word;
  return word ? [make("span", say(names[word], answer.label), `badge ${word}`)] : [];
}

function about(input) {
  const facts = input.facts;
  const parts = compared() === null ? [input.reason] : [];
  if (facts.width) parts.push(say("size", facts.width, facts.height), facts.format);
  if (facts.words) parts.push(say("words", facts.words));
  return parts.filter(Boolean).join(" · ");
}

function prefetch() {
  if (state.shows === "text") return;
  for (const one of suspects().slice(at[finding] + 1, at[finding] + 3))
    for (const number of [one.input, one.other]) if (number !== null) new Image().src = `input/${number}`;
}

function choose(place) {
  finding = (place + state.findings.length) % Math.max(state.findings.length, 1);
  swapped = false;
  status("");
  show();
  find("main").scrollTo?.(0, 0);
}

function go(steps) {
  at[finding] = Math.min(Math.max(at[finding] + steps, 0), suspects().length - 1);
  swapped = false;
  status("");
  show();
}

// To the next one that is open: after this one, else before it.
function advance() {
  const { kind } = state.findings[finding];
  const open = suspects().map((one, place) => (settled(one, kind) ? -1 : place)).filter((place) => place >= 0);
  const next = open.find((place) => place > at[finding]) ?? open[0];
  const all = state.findings.every((one) => done(one).length === one.suspects.length);
  if (next !== undefined) at[finding] = next;
  status(all ? say("everything") : next === undefined ? say("finished") : "");
  swapped = false;
  show();
}

function take(told) {
  Object.assign(state.answers, told.answers);
  state.labels = told.labels;
}

async function answer(decision, label = "") {
  if (!suspect()) return;
  const other = compared();
  if (["same", "different"].includes(decision) && other === null) return status(say("alone"));
  take(await post("answer", { input: judged(), decision, label, other, finding: state.findings[finding].kind }));
  advance();
}

async function undo() {
  const told = await post("undo", {});
  take(told);
  const numbers = Object.keys(told.answers).map(Number);
  const has = (one) => numbers.includes(one.input) || numbers.includes(one.other);
  const places = [finding, ...state.findings.keys()];
  const place = places.find((one) => state.findings[one]?.suspects.some(has));
  if (place !== undefined) {
    finding = place;
    const mine = suspects().findIndex((one) => numbers.includes(one.input));
    at[finding] = mine >= 0 ? mine : suspects().findIndex(has);
    swapped = false;
  }
  show();
  status(say("undone", say(told.undone.decision), told.undone.path));
}

// The list of labels: digits choose by place, but where labels begin with digits they filter.

const plain = (text) => text.normalize("NFKC").toLowerCase();

function listed() {
  const typed = plain(find("filter").value.trim());
  const found = state.labels.filter((label) => plain(label).includes(typed));
  found.sort((one, two) => plain(two).startsWith(typed) - plain(one).startsWith(typed));
  return found;
}

const byPlace = () => !find("filter").value && !state.labels.some((label) => /^\d/.test(label));

function showLabels() {
  const typed = find("filter").value.trim();
  const found = listed();
  const rows = found.slice(0, 200).map((label, place) => labelRow(label, label, byPlace() && place < 9 ? place + 1 : ""));
  if (typed && !state.labels.includes(typed)) rows.push(labelRow(typed, say("fresh", typed), ""));
  if (rows.length) rows[0].ariaSelected = "true";
  find("labels").replaceChildren(...rows);
}

function labelRow(label, text, number) {
  const row = make("li", "", "");
  row.role = "option";
  row.dataset.label = label;
  row.append(make("kbd", `${number}`), make("span", text));
  row.addEventListener("click", () => pick(label));
  return row;
}

function openLabels() {
  if (!suspect()) return;
  find("filter").value = "";
  showLabels();
  find("choose").showModal();
  find("filter").focus();
}

function pick(label) {
  find("choose").close();
  queue(() => answer("relabel", label));
}

function labelKey(event) {
  if (event.isComposing) return;
  const rows = [...find("labels").children];
  const place = rows.findIndex((row) => row.ariaSelected === "true");
  if (/^[1-9]$/.test(event.key) && byPlace() && rows[event.key - 1]) pick(rows[event.key - 1].dataset.label);
  else if (event.key === "Enter" && rows[place]) pick(rows[place].dataset.label);
  else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    const next = Math.min(Math.max(place + (event.key === "ArrowDown" ? 1 : -1), 0), rows.length - 1);
    if (place >= 0) rows[place].ariaSelected = "false";
    rows[next]?.scrollIntoView({ block: "nearest" });
    if (rows[next]) rows[next].ariaSelected = "true";
  } else return;
  event.preventDefault();
}

// Keys

const acts = {
  keep: () => answer("keep"),
  drop: () => answer("drop"),
  relabel: openLabels,
  same: () => answer("same"),
  different: () => answer("different"),
  accept: () => (suspect()?.suggested && !swapped ? answer("relabel", suspect().suggested) : status(say("unsuggested"))),
  swap: () => (suspect()?.other === null ? status(say("alone")) : ((swapped = !swapped), show())),
  undo,
  next: () => go(1),
  previous: () => go(-1),
  help: () => find("keys").showModal(),
  language: () => ((language = 1 - language), translate()),
};

const keys = { k: "keep", d: "drop", r: "relabel", s: "same", n: "different", o: "swap", u: "undo", j: "next", p: "previous", l: "language", enter: "accept",
  arrowdown: "next", arrowright: "next", arrowup: "previous", arrowleft: "previous", "?": "help" };

function queue(act) {
  work = work.then(act).catch((error) => status(error.message, "error"));
}

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  if (!state || document.querySelector("dialog[open]")) return;
  if (event.key === "Tab") {
    event.preventDefault();
    queue(() => choose(finding + (event.shiftKey ? -1 : 1)));
    return;
  }
  // With an input method or another script on the keyboard, the key's place says what is meant.
  const typed = /^[a-z]$/i.test(event.key) || event.key.length > 1 && event.key !== "Process" || event.key === "?";
  const name = keys[typed ? event.key.toLowerCase() : event.code.replace("Key", "").toLowerCase()];
  if (!name) return;
  event.preventDefault();
  if (event.repeat && name !== "next" && name !== "previous") return; // a key that is held down answers once
  queue(async () => {
    if (!document.querySelector("dialog[open]")) await acts[name]();
  });
});
for (const one of document.querySelectorAll("[data-act]")) one.addEventListener("click", () => queue(acts[one.dataset.act]));
for (const name of ["next", "previous", "help", "language"]) find(name).addEventListener("click", () => queue(acts[name]));
// A button that was clicked must not take Enter or Tab from the page.
document.addEventListener("click", () => document.querySelector("dialog[open]") || document.activeElement?.blur());
find("filter").addEventListener("input", showLabels);
find("filter").addEventListener("keydown", labelKey);
for (const one of document.querySelectorAll("dialog"))
  one.addEventListener("click", (event) => event.target === one && one.close());

async function start() {
  try {
    state = await request("state");
  } catch (error) {
    status(error.message, "error");
    return;
  }
  document.title = `${state.name} · Noria`;
  find("name").textContent = state.name;
  at = state.findings.map(({ kind, suspects }) => Math.max(suspects.findIndex((one) => !settled(one, kind)), 0));
  finding = Math.max(state.findings.findIndex((one) => done(one).length < one.suspects.length), 0);
  translate();
}

translate();
start();
