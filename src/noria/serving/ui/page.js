// Try a model: a picture or a text goes in, the answer with its confidences comes out.
import { strings } from "./strings.js";

const find = (id) => document.getElementById(id);
let language = navigator.language.startsWith("zh") ? 1 : 0;
let card = null;
let asked = 0;
let chosen = 0;
let timer = 0;

const say = (name) => strings[name][language];

function make(name, text = "", kind = "") {
  const made = document.createElement(name);
  made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function translate() {
  document.documentElement.lang = language ? "zh-CN" : "en";
  for (const one of document.querySelectorAll("[data-say]")) one.textContent = say(one.dataset.say);
  find("language").textContent = language ? "English" : "中文";
  if (card) showCard();
}

async function request(path, options = {}, again = true) {
  const key = sessionStorage.getItem("noria-key");
  const headers = { ...options.headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
  let answer;
  try {
    answer = await fetch(path, { ...options, headers });
  } catch {
    throw new Error(say("offline"));
  }
  const told = await answer.json();
  if (answer.ok || told.answers) return told;
  if (answer.status === 401) find("key").hidden = false;
  if (again && (answer.status === 429 || answer.status === 503)) {
    show(make("p", say("busy"), "note"));
    await new Promise((done) => setTimeout(done, 1000 * Number(answer.headers.get("Retry-After") ?? 1)));
    return request(path, options, false);
  }
  throw new Error(told.error);
}

const show = (...parts) => find("answers").replaceChildren(...parts);
const at = (rest) => `/v1/models/${encodeURIComponent(find("model").value)}${rest}`;

async function ask(work) {
  const mine = ++asked;
  show(make("p", say("waiting"), "note"));
  try {
    const parts = await work();
    if (mine === asked) show(...parts);
  } catch (error) {
    if (mine === asked) show(make("p", error.message, "error"));
  }
}

async function askPictures(files) {
  if (!files.length) return;
  await ask(async () => {
    const form = new FormData();
    for (const file of files) form.append("file", file, file.name || "pasted");
    const start = performance.now();
    const told = await request(at(":predict"), { method: "POST", body: form });
    const milliseconds = performance.now() - start;
    return told.answers.map((answer, place) => {
      const box = answerBox(answer, told.version, milliseconds);
      const picture = make("img");
      picture.alt = answer.input;
      picture.src = URL.createObjectURL(files[place]);
      picture.onload = () => URL.revokeObjectURL(picture.src);
      if (!answer.error) box.prepend(picture);
      return box;
    });
  });
}

async function askText() {
  const text = find("words").value;
  if (!text.trim() || card?.input !== "text") return;
  await ask(async () => {
    const options = { method: "POST", body: text, headers: { "Content-Type": "text/plain; charset=utf-8" } };
    const start = performance.now();
    const told = await request(at(":predict"), options);
    const box = answerBox(told.answers[0], told.version, performance.now() - start);
    if (card.explains && !told.answers[0].error) box.append(marked(await request(at(":explain"), options)));
    return [box];
  });
}

function answerBox(answer, version, milliseconds) {
  const box = make("article");
  if (answer.error) {
    box.append(make("p", `${answer.input}: ${answer.error}`, "error"));
    return box;
  }
  const head = make("h2", answer.label);
  if (!answer.sure) head.append(make("span", ` ? ${say("unsure")}`, "unsure"));
  const list = make("ol", "", "bars");
  for (const [label, score] of answer.top) {
    const row = make("li");
    const bar = make("meter");
    bar.min = 0;
    bar.max = 1;
    bar.value = score;
    bar.ariaLabel = label;
    row.append(make("span", label), bar, make("span", `${(100 * score).toFixed(1)} %`, "number"));
    list.append(row);
  }
  const name = card.input === "image" ? [answer.input] : []; // a text has none
  box.append(head, list, make("p", [...name, `v${version}`, `${milliseconds.toFixed(0)} ms`].join(" · "), "note"));
  return box;
}

// The words that pushed the answer; places are counted in code points.
function marked(told) {
  const box = make("p", "", "marked");
  const points = Array.from(told.text);
  const most = Math.max(...told.words.map((one) => Math.abs(one[1])), 1e-9);
  let end = 0;
  for (const [, contribution, from, to] of told.words) {
    if (from < end) continue;
    box.append(points.slice(end, from).join(""));
    const strength = Math.ceil((3 * Math.abs(contribution)) / most);
    const word = make("mark", points.slice(from, to).join(""), `${contribution > 0 ? "for" : "against"} s${strength}`);
    word.title = contribution.toFixed(3);
    box.append(strength ? word : word.textContent);
    end = to;
  }
  box.append(points.slice(end).join(""));
  return box;
}

function showCard() {
  const percent = (share) => `${(100 * share).toFixed(1)} %`;
  const test = card.test?.interval
    ? `${percent(card.test.accuracy)} (${percent(card.test.interval[0])} – ${percent(card.test.interval[1])})`
    : "";
  const facts = {
    task: card.task,
    labels: (card.labels ?? []).slice(0, 200).join(", "),
    accuracy: test,
    fingerprint: card.fingerprint,
    created: card.created,
    runtime: card.runtime,
    versions: card.versions.map((one) => `${one.version} ${one.state}${one.error ? `: ${one.error}` : ""}`).join("; "),
  };
  find("facts").replaceChildren(
    ...Object.entries(facts).flatMap(([name, fact]) => (fact ? [make("dt", say(name)), make("dd", fact)] : [])),
  );
}

async function choose() {
  const mine = ++chosen;
  asked++; // an answer of the model before is nothing to show under this one
  show();
  location.hash = find("model").value;
  card = null;
  for (const id of ["picture", "text", "tensors"]) find(id).hidden = true; // nothing can be asked before its card is there
  try {
    const told = await request(at("/card"));
    if (mine !== chosen) return;
    card = told;
  } catch (error) {
    if (mine === chosen) show(make("p", error.message, "error"));
    return;
  }
  for (const [id, kind] of [["picture", "image"], ["text", "text"], ["tensors", "tensors"]])
    find(id).hidden = card.input !== kind;
  if (card.input === "tensors")
    find("signatures").textContent = JSON.stringify((await request(at("/metadata"))).metadata, null, 1);
  showCard();
  await askText(); // what was typed already is answered by this model as well
}

async function start() {
  try {
    const told = await request("/v1/models");
    find("model").replaceChildren(...told.models.map((one) => new Option(one.name, one.name)));
    const wanted = decodeURIComponent(location.hash.slice(1));
    if (told.models.some((one) => one.name === wanted)) find("model").value = wanted;
    if (told.models.length) await choose();
  } catch (error) {
    show(make("p", error.message, "error"));
  }
}

find("model").addEventListener("change", choose);
for (const id of ["files", "camera"])
  find(id).addEventListener("change", (event) => {
    askPictures([...event.target.files]);
    event.target.value = "";
  });
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  if (card?.input === "image") askPictures([...event.dataTransfer.files]);
});
document.addEventListener("paste", (event) => {
  if (card?.input === "image" && event.clipboardData.files.length) askPictures([...event.clipboardData.files]);
});
find("words").addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(askText, 600);
});
find("words").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) askText();
});
find("ask").addEventListener("click", askText);
find("unlock").addEventListener("click", () => {
  sessionStorage.setItem("noria-key", find("secret").value);
  find("key").hidden = true;
  start();
});
find("language").addEventListener("click", () => {
  language = 1 - language;
  translate();
});
translate();
start();
