// Images with what is said of them, and frames of videos.

import { html, useEffect, useRef, useState } from "./vendor/preact.js";
import { seconds } from "./format.js";
import { source } from "./source.js";

const NAMES = { answer: "reference", turn: "answer", response: "response", crop: "crop" };
const TINY = 160; // pixels: a smaller image is enlarged

export function Picture({ place, medium, name, marks }) {
  const [stream, n] = place;
  const address = source.image(stream, n, medium, false);
  const [error, setError] = useState(null);
  const [isOpen, setOpen] = useState(false);
  const [size, setSize] = useState(null);
  const [hidden, setHidden] = useState({});
  useEffect(() => setError(null), [address]);
  const fail = () => source.imageError(address, stream, n, medium).then(setError, (e) => setError(e.message));
  if (error !== null || !address) {
    return html`<figure class="broken"><b>${name}</b><span>${error ?? "not in this file"}</span></figure>`;
  }
  const kinds = [...new Set(marks.map((mark) => mark.kind))];
  const shown = marks.filter((mark) => !hidden[mark.kind]);
  const isTiny = size && Math.max(...size) < TINY;
  return html`<figure class="picture">
    <button class="frame ${isTiny ? "tiny" : ""}" title="Open large" onClick=${() => setOpen(true)}>
      <img
        src=${address} alt=${name} loading="lazy" onError=${fail}
        onLoad=${({ target }) => setSize([target.naturalWidth, target.naturalHeight])}
      />
      <${Marks} marks=${shown} />
    </button>
    <figcaption>
      <span class="name">${name}</span>
      ${kinds.map(
        (kind) => html`<label class="legend is-${kind}" key=${kind}>
          <input
            type="checkbox" checked=${!hidden[kind]}
            onChange=${() => setHidden({ ...hidden, [kind]: !hidden[kind] })}
          />${NAMES[kind]}
        </label>`,
      )}
    </figcaption>
    ${isOpen &&
    html`<${Large} onClose=${() => setOpen(false)} name=${name}>
      <img src=${source.image(stream, n, medium, true)} alt=${name} />
      <${Marks} marks=${shown} />
    <//>`}
  </figure>`;
}

// Boxes and points in thousandths of the image.
function Marks({ marks }) {
  if (!marks.length) return null;
  return html`<svg viewBox="0 0 1000 1000" preserveAspectRatio="none" aria-hidden="true">
      ${marks.map(({ kind, place }, key) =>
        place.length === 4
          ? html`<rect
              key=${key} class=${`is-${kind}`} x=${Math.min(place[0], place[2])} y=${Math.min(place[1], place[3])}
              width=${Math.abs(place[2] - place[0])} height=${Math.abs(place[3] - place[1])}
            />`
          : null,
      )}
    </svg>
    ${marks.map(({ kind, place, label, response }, key) => {
      const text = [response === undefined ? "" : `#${response + 1}`, label].filter(Boolean).join(" ");
      const isPoint = place.length === 2;
      const inside = place[0] >= 0 && place[0] <= 1000 && place[1] >= 0 && place[1] <= 1000;
      if (!inside || (!isPoint && !text)) return null;
      const [left, right] = isPoint ? [place[0], place[0]] : [place[0], place[2]];
      const [top, bottom] = isPoint ? [place[1], place[1]] : [place[1], place[3]];
      const below = kind === "answer" ? Math.min(Math.max(top, bottom), 1000) : Math.min(top, bottom);
      const style = { left: `${Math.min(left, right) / 10}%`, top: `${below / 10}%` };
      return html`<span key=${key} class="mark is-${kind} ${isPoint ? "point" : ""}" style=${style}
        >${text && html`<b>${text}</b>`}</span
      >`;
    })}`;
}

function Large({ onClose, name, children }) {
  const dialog = useRef(null);
  useEffect(() => dialog.current.showModal(), []);
  return html`<dialog class="large" ref=${dialog} onClose=${onClose} onClick=${() => dialog.current.close()}>
    <div class="frame">${children}</div>
    <p>${name}</p>
  </dialog>`;
}

export function Video({ place, medium, name }) {
  const [stream, n] = place;
  const [found, setFound] = useState(null);
  const [error, setError] = useState(null);
  useEffect(() => {
    setFound(null);
    setError(null);
    source.frames(stream, n, medium).then(setFound, (e) => setError(e.message));
  }, [stream, n, medium]);
  if (error !== null) return html`<figure class="broken"><b>${name}</b><span>${error}</span></figure>`;
  return html`<figure class="video">
    <div class="film" tabindex="0" aria-label="Frames of the video">
      ${(found?.frames ?? []).map(
        (frame, key) => html`<div key=${key}><img src=${frame} alt="" /><span>${seconds(found.seconds[key])}</span></div>`,
      )}
      ${!found && html`<div class="waiting">decoding\u2026</div>`}
    </div>
    <figcaption>
      <span class="name">${name}</span>
      ${found && html`<span>${found.size.join(" \u00d7 ")}, ${found.frames.length} of ${found.sampled} sampled frames</span>`}
    </figcaption>
  </figure>`;
}
