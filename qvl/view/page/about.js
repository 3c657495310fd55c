// The cover of an exported file: texts and figures about its streams.

import { html } from "./vendor/preact.js";

// An image is shown as one: a browser neither runs nor fetches anything for an SVG in an img element.
export function About({ parts }) {
  return html`<article class="about">
    ${parts.map(
      ({ name, text, uri }) => html`<section>
        <h2>${name}</h2>
        ${uri ? html`<img src=${uri} alt=${name} />` : html`<pre>${text}</pre>`}
      </section>`,
    )}
  </article>`;
}
