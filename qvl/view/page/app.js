// The page: streams, filter and search above, the list on the left, the record on the right.

import { html, render, useEffect, useMemo, useRef, useState } from "./vendor/preact.js";
import { About } from "./about.js";
import { count, plural } from "./format.js";
import { List } from "./list.js";
import { Record } from "./record.js";
import { Rows } from "./rows.js";
import { source } from "./source.js";

const STATE_MS = 400;
const TYPING_MS = 250;
const THEMES = ["auto", "light", "dark"];
const KEYS = [
  ["j k", "next, previous record"],
  ["g G", "first, last record"],
  ["/", "search"],
  ["f", "filter"],
  ["t", "open or fold all thinking"],
  ["r", "record as JSON"],
  ["[ ]", "previous, next stream"],
  ["c", "compare with another stream"],
  ["a", "the cover of a file that has one"],
  ["d", "light or dark"],
  ["Esc", "leave a field, or the record on a narrow screen"],
];

function fromHash() {
  const found = new URLSearchParams(location.hash.slice(1));
  const number = (name) => (/^\d+$/.test(found.get(name) ?? "") ? Number(found.get(name)) : null);
  return {
    stream: number("stream") ?? 0,
    n: number("record"),
    other: number("with"),
    where: found.get("where") ?? "",
    text: found.get("text") ?? "",
  };
}

function toHash({ stream, n, other, where, text }) {
  const found = new URLSearchParams();
  if (stream) found.set("stream", stream);
  if (n !== null) found.set("record", n);
  if (other !== null) found.set("with", other);
  if (where) found.set("where", where);
  if (text) found.set("text", text);
  history.replaceState(null, "", found.size ? `#${found}` : location.pathname);
}

function stored(name, otherwise) {
  try {
    return localStorage.getItem(name) ?? otherwise;
  } catch {
    return otherwise; // a file opened from a disk may have no storage
  }
}

function store(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch {
    // the choice lasts as long as the page
  }
}

function App() {
  const start = useMemo(fromHash, []);
  const [streams, setStreams] = useState([]);
  const [stream, setStream] = useState(start.stream);
  const [other, setOther] = useState(start.other);
  const [where, setWhere] = useState(start.where);
  const [text, setText] = useState(start.text);
  const [version, setVersion] = useState(0);
  const [place, setPlace] = useState(null);
  const [n, setN] = useState(start.n);
  const [otherN, setOtherN] = useState(null);
  const [isRaw, setRaw] = useState(false);
  const [isOpen, setOpen] = useState(false);
  const [theme, setTheme] = useState(stored("theme", "auto"));
  const [isAbout, setAbout] = useState(source.about.length > 0 && start.n === null);
  const [isReading, setReading] = useState(isAbout || start.n !== null); // on a narrow screen: the record is in front
  const help = useRef(null);
  const search = useRef(null);
  const filter = useRef(null);
  const detail = useRef(null);
  const wanted = useRef(start.n);

  useEffect(() => {
    let timer = null;
    const ask = async () => {
      try {
        const answer = await source.state();
        setStreams(answer.streams);
        if (!answer.streams.every((each) => each.done)) timer = setTimeout(ask, STATE_MS);
      } catch {
        timer = setTimeout(ask, 5 * STATE_MS);
      }
    };
    ask();
    return () => clearTimeout(timer);
  }, []);

  const rows = useMemo(
    () => new Rows({ stream, where, text }, () => setVersion((old) => old + 1)),
    [stream, where, text],
  );
  useEffect(() => () => rows.stop(), [rows]);
  useEffect(() => setPlace(null), [rows]);
  // The record that is shown keeps its place among other matches; where it is none, the first one is shown.
  useEffect(() => {
    if (place !== null || !rows.loaded) return;
    if (wanted.current === null) {
      if (rows.get(0)) choose(0, false);
      return;
    }
    rows.placeOf(wanted.current).then((found) => {
      if (found !== null) setPlace(found);
      else if (rows.done) {
        wanted.current = null;
        if (rows.get(0)) choose(0, false);
      }
    });
  }, [version, rows, place]);
  useEffect(() => {
    const row = place === null ? null : rows.get(place);
    if (row && row.n !== n) {
      wanted.current = row.n;
      setN(row.n);
    }
  }, [place, version, rows]);
  useEffect(() => toHash({ stream, n, other, where, text }), [stream, n, other, where, text]);
  useEffect(() => {
    document.documentElement.dataset.theme = theme;
    store("theme", theme);
  }, [theme]);
  useEffect(() => detail.current?.scrollTo(0, 0), [stream, n, isAbout]);
  useEffect(() => {
    setOtherN(null);
    if (other === null || n === null) return;
    source
      .record(stream, n)
      .then(({ record }) => source.find(other, typeof record.id === "string" ? record.id : ""))
      .then((found) => setOtherN(found.n), () => setOtherN(null));
  }, [stream, n, other]);

  const choose = (next, isFront = true) => {
    if (!rows.total) return;
    setPlace(Math.max(0, Math.min(next, rows.total - 1)));
    if (!isFront) return;
    setAbout(false);
    setReading(true);
  };
  const changeStream = (next) => {
    wanted.current = null;
    setN(null);
    setReading(false);
    setStream(next);
    if (other === next) setOther(null);
  };
  const toggleAbout = () => {
    if (!source.about.length) return;
    setAbout(!isAbout);
    setReading(!isAbout);
  };
  const toggleTheme = () => setTheme(THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length]);
  const compare = () => {
    const others = streams.map((_, key) => key).filter((key) => key !== stream);
    const next = others.indexOf(other) + 1;
    setOther(next < others.length ? others[next] : null);
  };

  useEffect(() => {
    const act = {
      j: () => place !== null && choose(place + 1),
      ArrowDown: () => place !== null && choose(place + 1),
      k: () => place !== null && choose(place - 1),
      ArrowUp: () => place !== null && choose(place - 1),
      g: () => choose(0),
      G: () => choose(rows.total - 1),
      "/": () => search.current.focus(),
      f: () => filter.current?.focus(),
      t: () => setOpen((old) => !old),
      r: () => setRaw((old) => !old),
      "[": () => stream > 0 && changeStream(stream - 1),
      "]": () => stream < streams.length - 1 && changeStream(stream + 1),
      c: compare,
      a: toggleAbout,
      d: toggleTheme,
      "?": () => help.current.showModal(),
      Escape: () => setReading(false),
    };
    const pressed = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
      if (event.target.matches("input[type=text], input[type=search], select")) {
        if (event.key === "Escape") event.target.blur();
        return;
      }
      if (act[event.key]) {
        event.preventDefault();
        act[event.key]();
      }
    };
    document.addEventListener("keydown", pressed);
    return () => document.removeEventListener("keydown", pressed);
  });

  const now = streams[stream];
  const total = now ? now.count : 0;
  const isFiltered = where || text;
  return html`<div class="page ${isReading ? "reading" : ""}">
    <header class="bar">
      <button class="back" onClick=${() => setReading(false)} aria-label="Back to the list">\u2190</button>
      <span class="brand">qvl<i>view</i></span>
      ${streams.length > 1
        ? html`<select
            class="stream" aria-label="Stream" value=${stream}
            onChange=${(event) => changeStream(Number(event.target.value))}
          >${streams.map((each, key) => html`<option key=${key} value=${key}>${each.name}</option>`)}</select>`
        : html`<span class="stream name">${now?.name ?? ""}</span>`}
      ${streams.length > 1 &&
      html`<button class="quiet compare" aria-pressed=${other !== null} onClick=${compare}>
        ${other === null ? "Compare" : `with ${streams[other]?.name ?? ""}`}
      </button>`}
      ${source.about.length > 0 &&
      html`<button class="quiet" aria-pressed=${isAbout} onClick=${toggleAbout}>About</button>`}
      <span class="grow" />
      <div class="fields">
        ${!source.isFile &&
        html`<${Field}
          name="Filter" hint='task == "math" and len(messages) > 2' field=${filter} value=${where}
          onChange=${setWhere} isCode
        />`}
        <${Field} name="Search" hint="Search all texts" field=${search} value=${text} onChange=${setText} />
      </div>
      <button class="quiet" title="Light or dark (d)" aria-label="Theme: ${theme}" onClick=${toggleTheme}>
        ${{ auto: "\u25d0", light: "\u25cb", dark: "\u25cf" }[theme]}
      </button>
      <button class="quiet" title="Keys (?)" aria-label="Keys" onClick=${() => help.current.showModal()}>?</button>
    </header>
    <aside>
      <p class="status" role="status">
        <${Status} rows=${rows} total=${total} now=${now} isFiltered=${isFiltered} version=${version} />
      </p>
      <${List} rows=${rows} version=${version} selected=${place} onSelect=${choose} />
    </aside>
    <main class=${other === null || isAbout ? "" : "two"} ref=${detail} tabindex="-1">
      ${isAbout && html`<${About} parts=${source.about} />`}
      ${!isAbout &&
      n !== null &&
      html`<${Record}
        stream=${stream} n=${n} search=${text} isOpen=${isOpen} isRaw=${isRaw}
        head=${other !== null && html`<p class="column">${now?.name}</p>`}
      />`}
      ${!isAbout &&
      other !== null &&
      html`<${Record}
        stream=${other} n=${otherN} search=${text} isOpen=${isOpen} isRaw=${isRaw}
        head=${html`<p class="column">${streams[other]?.name}${otherN === null && html`<span> has no record with this id</span>`}</p>`}
      />`}
    </main>
    <dialog class="help" ref=${help} onClick=${() => help.current.close()}>
      <h2>Keys</h2>
      <dl>${KEYS.map(([key, what]) => html`<dt>${key.split(" ").map((each) => html`<kbd>${each}</kbd>`)}</dt><dd>${what}</dd>`)}</dl>
    </dialog>
  </div>`;
}

// An input whose value counts once the typing pauses.
function Field({ name, hint, field, value, onChange, isCode }) {
  const timer = useRef(null);
  const set = (event) => {
    const next = event.target.value.trim();
    clearTimeout(timer.current);
    timer.current = setTimeout(() => onChange(next), TYPING_MS);
  };
  return html`<label class="field ${isCode ? "code-field" : ""}">
    <span>${name}</span>
    <input type="search" ref=${field} placeholder=${hint} defaultValue=${value} spellcheck=${false}
      autocomplete="off" onInput=${set} />
  </label>`;
}

function Status({ rows, total, now, isFiltered }) {
  if (rows.error && isFiltered) return html`<b class="bad">${rows.error}</b>`;
  if (!now) return null;
  const notes = [];
  if (!now.done) notes.push(now.share === null ? "reading\u2026" : `reading ${Math.floor(100 * now.share)} %`);
  if (now.bad) notes.push(plural(now.bad, "bad line"));
  if (now.of) notes.push(`of ${count(now.of)} in the stream`);
  const counted = isFiltered
    ? html`<b>${count(rows.total)}</b> of ${count(total)}${rows.done ? "" : ` \u2013 searched ${count(rows.scanned)}`}`
    : html`<b>${count(total)}</b> record${total === 1 ? "" : "s"}`;
  return html`${counted}${notes.map((each) => html`<span>${each}</span>`)}
    ${now.error && html`<b class="bad">${now.error}</b>`}`;
}

render(html`<${App} />`, document.getElementById("app"));
