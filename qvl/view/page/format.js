// Numbers and names as a reader wants them.

const WHOLE = new Intl.NumberFormat("en");

export const count = (number) => WHOLE.format(number);

export function plural(number, noun) {
  return `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
}

export function decimal(number) {
  if (typeof number !== "number") return String(number);
  if (Number.isInteger(number)) return String(number);
  if (number !== 0 && Math.abs(number) < 0.001) return number.toExponential(1);
  return String(Math.round(number * 1000) / 1000);
}

export function signed(number) {
  return (number > 0 ? "+" : number < 0 ? "\u2212" : "") + decimal(Math.abs(number));
}

export function percent(share) {
  return `${Math.round(share * 1000) / 10} %`;
}

export function seconds(number) {
  const minutes = Math.floor(number / 60);
  const rest = number - 60 * minutes;
  return minutes ? `${minutes}:${rest.toFixed(0).padStart(2, "0")}` : `${rest.toFixed(1)} s`;
}

// A JSON value as one text: a string without quotes, anything else as JSON.
export function plain(value) {
  return typeof value === "string" ? value : JSON.stringify(value, null, 1) ?? "";
}

export const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

export const objects = (value) => (Array.isArray(value) ? value.filter(isObject) : []);
