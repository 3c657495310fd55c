// The list of records. Only the rows on the screen exist, whatever the number of records.

import { html, useEffect, useLayoutEffect, useRef, useState } from "./vendor/preact.js";
import { count, decimal } from "./format.js";

const ROW = 76; // pixels; app.css has the same
const MOST = 15000000; // pixels: browsers draw no taller element right
const BEYOND = 6; // rows above and below the screen

export function List({ rows, version, selected, onSelect, refocus }) {
  const box = useRef(null);
  const [view, setView] = useState({ top: 0, height: 600 });
  const full = rows.total * ROW;
  const height = Math.min(full, MOST);
  const factor = height > view.height ? (full - view.height) / (height - view.height) : 1;
  const offset = view.top * factor; // where the screen begins, in rows' pixels
  const first = Math.max(Math.floor(offset / ROW) - BEYOND, 0);
  const last = Math.min(Math.ceil((offset + view.height) / ROW) + BEYOND, rows.total);

  useEffect(() => rows.want(first, Math.max(last - 1, first)), [rows, first, last, version]);
  useLayoutEffect(() => {
    const measure = () => setView({ top: box.current.scrollTop, height: box.current.clientHeight });
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(box.current);
    return () => observer.disconnect();
  }, []);
  useLayoutEffect(() => {
    box.current.scrollTop = 0;
    setView((old) => ({ ...old, top: 0 }));
  }, [rows]);
  useLayoutEffect(() => {
    if (selected === null || selected >= rows.total) return;
    const element = box.current;
    const start = element.scrollTop * factor;
    const target =
      selected * ROW < start
        ? selected * ROW
        : (selected + 1) * ROW > start + element.clientHeight
          ? (selected + 1) * ROW - element.clientHeight
          : null;
    if (target !== null) element.scrollTop = target / factor;
  }, [selected, refocus]);

  const items = [];
  for (let place = first; place < last; place++) {
    const top = view.top + place * ROW - offset;
    const style = { transform: `translateY(${top}px)` };
    items.push(html`<${Item}
      key=${place} row=${rows.get(place)} style=${style} isSelected=${place === selected}
      onSelect=${() => onSelect(place)} place=${place} total=${rows.total}
    />`);
  }
  return html`<div
    class="list" role="listbox" aria-label="Records" tabindex="0" ref=${box}
    onScroll=${(event) => setView({ top: event.target.scrollTop, height: event.target.clientHeight })}
  >
    <div class="list-full" style=${{ height: `${height}px` }}>${items}</div>
  </div>`;
}

function Item({ row, style, isSelected, onSelect, place, total }) {
  if (!row) return html`<div class="row waiting" style=${style}><i /><i /></div>`;
  return html`<div
    class="row" role="option" style=${style} aria-selected=${isSelected}
    aria-posinset=${place + 1} aria-setsize=${total} onClick=${onSelect}
  >
    <div class="row-text">${row.text || html`<span class="none">${row.pack ? "" : "no text"}</span>`}${
      row.pack && html`<${PackBar} pack=${row.pack} />`
    }</div>
    <div class="row-facts">
      <span class="id">${row.id}</span>
      ${row.task && html`<span>${row.task}</span>`}
      ${row.images ? html`<span>${row.images > 1 ? `${row.images} images` : "image"}</span>` : null}
      ${row.videos ? html`<span>video</span>` : null}
      ${row.pack && html`<span>${count(row.pack.records)} records</span>`}
      <span class="grow" />
      ${row.reject && html`<b class="bad">${row.reject}</b>`}
      ${row.responses && html`<${Outcome} facts=${row.responses} />`}
    </div>
  </div>`;
}

function PackBar({ pack }) {
  const share = pack.tokens ? pack.targets / pack.tokens : 0;
  return html`<span class="pack-line">
    <b>${count(pack.tokens)} tokens</b>
    <span class="meter"><i style=${{ width: `${100 * share}%` }} /></span>
    <span>${Math.round(100 * share)} % targets</span>
  </span>`;
}

export function Outcome({ facts }) {
  if (facts.judged === undefined) return html`<span>${facts.count}\u00d7</span>`;
  if (facts.judged === 1) {
    const kind = facts.right ? "good" : "bad";
    return html`<b class=${kind}>${decimal(facts.mean)}</b>`;
  }
  const kind = facts.right === facts.judged ? "good" : facts.right ? "" : "bad";
  return html`<span class="ratio"
    ><span class="meter"><i style=${{ width: `${(100 * facts.right) / facts.judged}%` }} /></span
    ><b class=${kind}>${facts.right}/${facts.judged}</b></span
  >`;
}
