// The OpenAPI document of this server, for people.
const told = await (await fetch("/openapi.json")).json();
const main = document.getElementById("operations");
const add = (parent, name, text = "", kind = "") => {
  const made = document.createElement(name);
  made.textContent = text;
  if (kind) made.className = kind;
  parent.append(made);
  return made;
};
for (const [path, item] of Object.entries(told.paths)) {
  for (const verb of ["get", "post"]) {
    const operation = item[verb];
    if (!operation) continue;
    const box = add(main, "details");
    const head = add(box, "summary");
    add(head, "code", `${verb.toUpperCase()} ${path}`);
    add(head, "span", ` ${operation.summary}`);
    const list = add(box, "ul");
    for (const one of [...(item.parameters ?? []), ...(operation.parameters ?? [])])
      add(list, "li", `${one.name} (${one.in}): ${one.description}`);
    for (const kind of Object.keys(operation.requestBody?.content ?? {})) add(list, "li", `body: ${kind}`);
    for (const [code, answer] of Object.entries(operation.responses)) add(list, "li", `${code}: ${answer.description}`);
    const data = verb === "post" ? ` -H "Content-Type: application/json" -d '{"instances": []}'` : "";
    add(box, "pre", `curl ${location.origin}${path}${data}`).tabIndex = 0;
  }
}
