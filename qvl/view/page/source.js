// Where the page gets its data: the server beside it, or the file that it is itself.

const embedded = document.getElementById("data");

async function get(name, parameters, signal) {
  const response = await fetch(`api/${name}?${new URLSearchParams(parameters)}`, { signal });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error.message);
  return answer;
}

const server = {
  isFile: false,
  about: [],
  state: () => get("state", {}),
  rows: (query, signal) => get("rows", query, signal),
  record: (stream, n, signal) => get("record", { stream, n }, signal),
  find: (stream, id) => get("find", { stream, id }),
  image: (stream, n, medium, large) =>
    `api/image?${new URLSearchParams({ stream, n, medium, large: large ? 1 : 0 })}`,
  // What is wrong with an image that the browser could not show.
  async imageError(address) {
    const response = await fetch(address);
    return response.ok ? "the browser cannot show it" : (await response.json()).error.message;
  },
  frames: (stream, n, medium) => get("frames", { stream, n, medium }),
  segments: (stream, n) => get("segments", { stream, n }),
  pack: (stream, n, start, count) => get("pack", { stream, n, start, count }),
  tokens: (stream, n, response, start, count) => get("tokens", { stream, n, response, start, count }),
};

// A file has some records of each stream, with their images; it is searched here.
function fromFile(data) {
  const places = data.streams.map(({ rows }) => new Map(rows.map((row, place) => [row.n, place])));
  const record = (stream, n) => data.streams[stream].records[places[stream].get(n)];
  const searchable = new Map();
  const textOf = (stream, place) => {
    const key = `${stream}/${place}`;
    if (!searchable.has(key)) {
      const texts = [];
      const walk = (value) => {
        if (typeof value === "string") texts.push(value);
        else if (value && typeof value === "object") Object.values(value).forEach(walk);
      };
      walk(data.streams[stream].records[place].record);
      searchable.set(key, texts.join("\n").toLowerCase());
    }
    return searchable.get(key);
  };
  const stored = async (kind, key) => {
    const found = data[kind][key];
    if (!found) throw new Error("this file does not hold it; open the stream with qvl view");
    if (found.error) throw new Error(found.error);
    return found;
  };
  const images = (stream, n, medium) => data.images[`${stream}/${n}/${medium}`] || {};
  return {
    isFile: true,
    about: data.about,
    state: async () => ({ streams: data.streams.map((each) => each.state) }),
    async rows({ stream, text, first, count, at }) {
      let rows = data.streams[stream].rows;
      if (text) rows = rows.filter((_, place) => textOf(stream, place).includes(text.toLowerCase()));
      const place = rows.findIndex((row) => String(row.n) === String(at));
      const total = rows.length;
      rows = rows.slice(first, Number(first) + Number(count));
      return { total, scanned: total, done: true, error: null, rows, place: place < 0 ? null : place };
    },
    async record(stream, n) {
      const found = record(stream, n);
      if (!found) throw new Error(`this file does not hold record ${n}`);
      return found;
    },
    async find(stream, id) {
      const found = data.streams[stream].records.find((each) => each.record.id === id);
      return { n: found ? found.n : null };
    },
    image: (stream, n, medium) => images(stream, n, medium).uri || "",
    imageError: async (_, stream, n, medium) => images(stream, n, medium).error || "not in this file",
    frames: (stream, n, medium) => stored("frames", `${stream}/${n}/${medium}`),
    segments: (stream, n) => stored("segments", `${stream}/${n}`),
    pack: (stream, n, start) => stored("packs", `${stream}/${n}/${start}`),
    tokens: (stream, n, response, start) => stored("tokens", `${stream}/${n}/${response}/${start}`),
  };
}

export const source = embedded ? fromFile(JSON.parse(embedded.textContent)) : server;
