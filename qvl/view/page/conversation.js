// Messages: who says what, what is called, and what comes back.

import { html } from "./vendor/preact.js";
import { isObject, objects, plain } from "./format.js";
import { Picture, Video } from "./picture.js";
import { Text, Thinking } from "./text.js";

export function Conversation({ messages, shown, place, search, isOpen, marksOf }) {
  return html`<div class="conversation">
    ${objects(messages).map(
      (message, key) => html`<${Message}
        key=${key} message=${message} shown=${shown} place=${place} search=${search} isOpen=${isOpen}
        marksOf=${marksOf}
      />`,
    )}
  </div>`;
}

function Message({ message, shown, place, search, isOpen, marksOf }) {
  const role = typeof message.role === "string" ? message.role : "no role";
  const known = ["system", "user", "assistant", "tool"].includes(role) ? role : "";
  return html`<section class="message ${known}">
    <h3>${role}</h3>
    <div class="said">
      ${typeof message.reasoning_content === "string" &&
      message.reasoning_content &&
      html`<${Thinking} text=${message.reasoning_content} search=${search} isOpen=${isOpen} />`}
      <${Content}
        content=${message.content} shown=${shown} place=${place} search=${search} marksOf=${marksOf}
      />
      ${objects(message.tool_calls).map((call, key) => html`<${Call} key=${key} call=${call} search=${search} />`)}
    </div>
  </section>`;
}

function Content({ content, shown, place, search, marksOf }) {
  if (content === null || content === undefined || content === "") return null;
  if (typeof content === "string") return html`<${Text} text=${content} search=${search} />`;
  if (!Array.isArray(content)) return html`<${Text} text=${plain(content)} search=${search} />`;
  return content.map((part, key) => {
    if (isObject(part) && Number.isInteger(part.media)) {
      const medium = shown.media[part.media];
      if (medium?.kind === "image") {
        return html`<${Picture}
          key=${key} place=${place} medium=${part.media} name=${medium.name} marks=${marksOf(part.media)}
        />`;
      }
      if (medium) return html`<${Video} key=${key} place=${place} medium=${part.media} name=${medium.name} />`;
    }
    const text = isObject(part) && typeof part.text === "string" ? part.text : plain(part);
    return html`<${Text} key=${key} text=${text} search=${search} />`;
  });
}

function Call({ call, search }) {
  const called = isObject(call.function) ? call.function : call;
  let values = called.arguments;
  if (typeof values === "string") {
    try {
      values = JSON.parse(values);
    } catch {
      // a call that a model has broken is shown as it wrote it
    }
  }
  return html`<div class="call">
    <h4>${plain(called.name ?? "call")}</h4>
    ${isObject(values)
      ? html`<dl>
          ${Object.entries(values).map(
            ([name, value]) => html`<dt>${name}</dt>
              <dd><${Text} text=${Array.isArray(value) ? JSON.stringify(value) : plain(value)} search=${search} /></dd>`,
          )}
        </dl>`
      : values !== undefined && html`<${Text} text=${plain(values)} search=${search} />`}
  </div>`;
}
