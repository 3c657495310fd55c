// Texts of records: as they are written, never as HTML or Markdown. A link in them is text too.

import { html, useState } from "./vendor/preact.js";
import { count } from "./format.js";

const SHORT = 20000; // characters shown at first
const MOST_MARKS = 300; // matches of the search that are marked in one text

export function Text({ text, search }) {
  const [isWhole, setWhole] = useState(false);
  const shown = isWhole || text.length <= SHORT ? text : text.slice(0, SHORT);
  return html`<div class="text">
    ${fenced(shown).map(([isCode, part], place) =>
      isCode
        ? html`<pre key=${place} class="code">${marked(part, search)}</pre>`
        : html`<span key=${place}>${marked(part, search)}</span>`,
    )}
    ${shown.length < text.length &&
    html`<button class="more" onClick=${() => setWhole(true)}>
      Show all ${count(text.length)} characters
    </button>`}
  </div>`;
}

// [is code, text] of the pieces of a text: what stands between two fences is code, with its fences.
function fenced(text) {
  const pieces = [];
  let start = 0;
  while (start < text.length) {
    const open = text.startsWith("```", start) && start === 0 ? 0 : text.indexOf("\n```", start);
    const from = open < 0 ? -1 : text.startsWith("```", open) ? open : open + 1;
    const close = from < 0 ? -1 : text.indexOf("\n```", from + 3);
    if (close < 0) break;
    const ends = text.indexOf("\n", close + 4);
    const end = ends < 0 ? text.length : ends + 1;
    if (from > start) pieces.push([false, text.slice(start, from)]);
    pieces.push([true, text.slice(from, end).replace(/\n$/, "")]);
    start = end;
  }
  if (start < text.length) pieces.push([false, text.slice(start)]);
  return pieces;
}

export function marked(text, search) {
  if (!search) return text;
  const lowered = text.toLowerCase();
  const wanted = search.toLowerCase();
  if (lowered.length !== text.length) return text; // places would be others, as of a dotted capital I
  const parts = [];
  let start = 0;
  for (let place = lowered.indexOf(wanted); place >= 0 && parts.length < 2 * MOST_MARKS; ) {
    parts.push(text.slice(start, place), html`<mark>${text.slice(place, place + wanted.length)}</mark>`);
    start = place + wanted.length;
    place = lowered.indexOf(wanted, start);
  }
  return [...parts, text.slice(start)];
}

export function Thinking({ text, search, isOpen }) {
  return html`<details class="thinking" open=${isOpen || (search && text.toLowerCase().includes(search.toLowerCase()))}>
    <summary>Thinking <span>${count(text.length)} characters</span></summary>
    <${Text} text=${text} search=${search} />
  </details>`;
}
