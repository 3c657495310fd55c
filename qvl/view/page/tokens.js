// Texts by token: the loss mask of a pack, and what was measured of each token of a response.

import { html, useEffect, useState } from "./vendor/preact.js";
import { count, decimal, percent, plural, signed } from "./format.js";
import { Picture } from "./picture.js";
import { source } from "./source.js";

const CHUNK = 2000; // tokens fetched at a time
const LARGE_GAP = 0.5; // nats between trainer and engine that get the full colour

// How a column colours a token: from -1 to 1, or from 0 to 1 for a single colour.
const SCALES = {
  advantage: (value) => Math.max(-1, Math.min(1, value / 2)),
  logprob: (value) => -Math.min(1, -value / 5),
  trainer: (value) => -Math.min(1, -value / 5),
  gap: (value) => Math.max(-1, Math.min(1, value / LARGE_GAP)),
};
export const COLUMNS = {
  advantage: "Advantage",
  logprob: "Log-prob",
  trainer: "Trainer",
  gap: "Gap",
};

export function Pack({ place, shown }) {
  const [stream, n] = place;
  const [found, setFound] = useState(null);
  const [error, setError] = useState(null);
  const [chosen, setChosen] = useState(0);
  useEffect(() => {
    setFound(null);
    setChosen(0);
    source.segments(stream, n).then((answer) => setFound(answer.segments), (e) => setError(e.message));
  }, [stream, n]);
  if (error) return html`<p class="problem">${error}</p>`;
  if (!found) return null;
  const { tokens, targets } = shown.pack;
  const segment = found[chosen];
  return html`<section class="part">
    <h2>Pack</h2>
    <div class="figures">
      <div><b>${count(tokens)}</b><span>tokens</span></div>
      <div><b>${count(targets)}</b><span>targets, ${percent(tokens ? targets / tokens : 0)}</span></div>
      <div><b>${count(found.length)}</b><span>records</span></div>
      ${shown.media.length > 0 && html`<div><b>${count(shown.media.length)}</b><span>images</span></div>`}
    </div>
    <div class="segments" role="tablist" aria-label="Records of the pack">
      ${found.map(
        (each, key) => html`<button
          key=${key} role="tab" aria-selected=${key === chosen} style=${{ flexGrow: each.tokens }}
          title=${`${each.id}: ${plural(each.tokens, "token")}, ${count(each.targets)} targets`}
          onClick=${() => setChosen(key)}
        ><i style=${{ height: `${each.tokens ? (100 * each.targets) / each.tokens : 0}%` }} /></button>`,
      )}
    </div>
    ${segment &&
    html`<h3 class="segment-name">
        <span class="id">${segment.id}</span>
        <span>${plural(segment.tokens, "token")}, ${count(segment.targets)} of them targets</span>
      </h3>
      <${Coloured}
        key=${`${stream}/${n}/${chosen}`} total=${segment.tokens} kind="weight"
        load=${(start, size) => source.pack(stream, n, segment.start + start, size)}
      />
      <p class="key"><i class="target" /> target tokens, darker with more loss weight <i /> context</p>`}
    ${shown.media.length > 0 &&
    html`<div class="pictures">
      ${shown.media.map(
        (medium, key) => html`<${Picture} key=${key} place=${place} medium=${key} name=${medium.name} marks=${[]} />`,
      )}
    </div>`}
  </section>`;
}

export function ResponseTokens({ place, response, total, kind }) {
  const [stream, n] = place;
  return html`<${Coloured}
    key=${`${stream}/${n}/${response}`} total=${total} kind=${kind}
    load=${(start, size) => source.tokens(stream, n, response, start, size)}
  />`;
}

// Tokens in chunks; `load` fetches one. kind: "weight" or one of COLUMNS.
function Coloured({ total, load, kind }) {
  const [chunks, setChunks] = useState([]);
  const [error, setError] = useState(null);
  const more = () => {
    const start = chunks.length * CHUNK;
    const size = Math.min(CHUNK, total - start);
    load(start, size).then((chunk) => setChunks((old) => [...old, chunk]), (e) => setError(e.message));
  };
  useEffect(more, []);
  const shown = Math.min(chunks.length * CHUNK, total);
  const hasTexts = chunks.length === 0 || chunks[0].texts;
  return html`${!hasTexts &&
    html`<p class="hint">Token ids; <code>--model DIR</code> shows their texts.</p>`}
    <div class="tokens ${hasTexts ? "" : "ids"}">
      ${chunks.map((chunk, key) => html`<${Chunk} key=${key} chunk=${chunk} kind=${kind} />`)}
    </div>
    ${error && html`<p class="problem">${error}</p>`}
    ${shown < total &&
    chunks.length > 0 &&
    html`<button class="more" onClick=${more}>
      Show ${count(Math.min(CHUNK, total - shown))} more of ${count(total)} tokens
    </button>`}`;
}

function Chunk({ chunk, kind }) {
  const spans = [];
  const values = kind === "weight" ? chunk.weights : chunk.columns[kind];
  for (let place = 0; place < chunk.ids.length; place++) {
    if (chunk.pads?.[place]) {
      let end = place + 1;
      while (chunk.pads[end]) end++;
      spans.push(html`<span key=${place} class="pads">${plural(end - place, "vision token")}</span>`);
      place = end - 1;
      continue;
    }
    spans.push(html`<${Token} key=${place} chunk=${chunk} place=${place} value=${values?.[place]} kind=${kind} />`);
  }
  return spans;
}

function Token({ chunk, place, value, kind }) {
  const text = chunk.texts ? chunk.texts[place] : String(chunk.ids[place]);
  const title = () => {
    const said = [`token ${chunk.ids[place]}`];
    if (chunk.weights) said.push(chunk.weights[place] === null ? "context" : `weight ${decimal(chunk.weights[place])}`);
    for (const [name, column] of Object.entries(chunk.columns)) {
      if (typeof column[place] === "number") said.push(`${name} ${signed(column[place])}`);
    }
    return said.join(" \u00b7 ");
  };
  const known = typeof value === "number";
  const strength = !known ? 0 : kind === "weight" ? Math.min(1, 0.35 + 0.65 * value) : (SCALES[kind] ?? SCALES.advantage)(value);
  const name = !known ? "" : kind === "weight" ? "target" : strength >= 0 ? "plus" : "minus";
  return html`<span
    class=${name} style=${known ? { "--strength": Math.abs(strength) } : null}
    onMouseEnter=${({ target }) => (target.title = title())}
  >${text}</span>`;
}
