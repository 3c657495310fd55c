// One record: what it is, what was made of it, and all of its fields as JSON.

import { html, useEffect, useState } from "./vendor/preact.js";
import { count, isObject, objects, plain } from "./format.js";
import { source } from "./source.js";
import { Conversation } from "./conversation.js";
import { Numbers, Responses } from "./responses.js";
import { Text } from "./text.js";
import { Pack } from "./tokens.js";

const MOST_JSON = 300000; // characters

// stream, n: of the record; n is null where the stream has none. head: what stands above it.
export function Record({ stream, n, head, search, isOpen, isRaw }) {
  const [shown, setShown] = useState(null);
  const [error, setError] = useState(null);
  useEffect(() => {
    setError(null);
    if (n === null) {
      setShown(null);
      return undefined;
    }
    const request = new AbortController();
    source.record(stream, n, request.signal).then(
      (found) => setShown({ ...found, stream }),
      (e) => request.signal.aborted || setError(e.message),
    );
    return () => request.abort();
  }, [stream, n]);
  if (error) return html`<div class="record">${head}<p class="problem">${error}</p></div>`;
  if (n === null || !shown) return html`<div class="record">${head}</div>`;
  return html`<article class="record" key=${`${shown.stream}/${shown.n}`}>
    ${head}
    ${isRaw
      ? html`<${Raw} record=${shown.record} search=${search} />`
      : html`<${Shown} shown=${shown} search=${search} isOpen=${isOpen} />`}
  </article>`;
}

function Shown({ shown, search, isOpen }) {
  const { record } = shown;
  const place = [shown.stream, shown.n];
  const marksOf = (image) => shown.marks.filter((mark) => mark.image === image);
  return html`<${Head} shown=${shown} search=${search} />
    ${shown.pack && html`<${Pack} place=${place} shown=${shown} />`}
    ${typeof record.line === "string" &&
    html`<section class="part"><h2>Line</h2><pre class="code">${record.line}</pre></section>`}
    ${objects(record.messages).length > 0 &&
    html`<section class="part">
      <${Conversation}
        messages=${record.messages} shown=${shown} place=${place} search=${search} isOpen=${isOpen}
        marksOf=${marksOf}
      />
    </section>`}
    ${!shown.pack &&
    html`<${Responses}
      shown=${shown} place=${place} search=${search} isOpen=${isOpen} marksOf=${marksOf}
    />`}
    <${Scores} scores=${record.scores} />
    <${Tools} tools=${record.tools} search=${search} />`;
}

function Head({ shown, search }) {
  const { record } = shown;
  const { reject } = record;
  const known = ["task", "source"].filter((name) => typeof record[name] === "string");
  return html`<header class="head">
    <div class="title">
      <h1>${plain(record.id ?? `record ${shown.n + 1}`)}</h1>
      ${known.map((name) => html`<span class="chip" title=${name}>${record[name]}</span>`)}
      <span class="grow" />
      <span class="where">record ${count(shown.n + 1)}</span>
    </div>
    ${isObject(reject) &&
    html`<p class="rejected">
      <b>${plain(reject.reason ?? "rejected")}</b>
      <span>${reject.stage ? `rejected by ${plain(reject.stage)}` : ""}</span>
      ${reject.detail ? html`<span class="detail">${plain(reject.detail)}</span>` : null}
    </p>`}
    ${(shown.problems ?? []).map((text) => html`<p class="problem">${text}</p>`)}
    ${"answer" in record &&
    html`<div class="answer">
      <h2>Reference</h2>
      <${Text} text=${answerText(record.answer)} search=${search} />
    </div>`}
  </header>`;
}

function answerText(answer) {
  const line = typeof answer === "string" ? answer : JSON.stringify(answer);
  return typeof answer === "string" || line.length <= 120 ? line : plain(answer);
}

function Scores({ scores }) {
  if (!isObject(scores) || !Object.keys(scores).length) return null;
  return html`<section class="part scores">
    <h2>Scores</h2>
    ${Object.entries(scores).map(
      ([stage, values]) => html`<div key=${stage}>
        <h3>${stage}</h3>
        <${Numbers} title=${stage} values=${isObject(values) ? values : { value: values }} />
      </div>`,
    )}
  </section>`;
}

function Tools({ tools, search }) {
  const known = objects(tools);
  if (!known.length) return null;
  return html`<section class="part">
    <h2>Tools</h2>
    ${known.map((tool, key) => {
      const called = isObject(tool.function) ? tool.function : tool;
      return html`<details class="tool" key=${key}>
        <summary><b>${plain(called.name ?? "tool")}</b> <span>${plain(called.description ?? "")}</span></summary>
        <${Text} text=${JSON.stringify(called.parameters ?? called, null, 2)} search=${search} />
      </details>`;
    })}
  </section>`;
}

function Raw({ record, search }) {
  const text = JSON.stringify(record, null, 2);
  const cut = text.length > MOST_JSON ? `${text.slice(0, MOST_JSON)}\n\u2026` : text;
  return html`<section class="part raw"><${Text} text=${cut} search=${search} /></section>`;
}
