// The responses of a record side by side: rewards, verdicts, and advantages by token.

import { html, useState } from "./vendor/preact.js";
import { count, decimal, isObject, objects, plain, plural, signed } from "./format.js";
import { Conversation } from "./conversation.js";
import { Text, Thinking } from "./text.js";
import { COLUMNS, ResponseTokens } from "./tokens.js";

const RIGHT = 0.5; // a reward from which a response counts as right, as in qvl.reward

export function Responses({ shown, place, search, isOpen, marksOf }) {
  const responses = objects(shown.record.responses);
  const available = Object.keys(COLUMNS).filter((kind) => responses.some((each) => has(each, kind)));
  const [chosen, setChosen] = useState("text");
  const kind = available.includes(chosen) ? chosen : "text";
  if (!responses.length) return null;
  const { facts } = shown;
  return html`<section class="part">
    <h2>
      ${plural(responses.length, "response")}
      ${facts.judged !== undefined &&
      html`<span>${facts.right} of ${facts.judged} right, mean reward ${decimal(facts.mean)}</span>`}
      <span class="grow" />
      ${available.length > 0 &&
      html`<span class="choice" role="group" aria-label="Colour tokens by">
        ${["text", ...available].map(
          (each) => html`<button
            key=${each} aria-pressed=${kind === each} onClick=${() => setChosen(each)}
          >${COLUMNS[each] ?? "Text"}</button>`,
        )}
      </span>`}
    </h2>
    <div class="responses ${responses.length === 1 ? "single" : ""}" tabindex="0">
      ${responses.map(
        (response, key) => html`<${Card}
          key=${key} response=${response} number=${key} shown=${shown} place=${place} search=${search}
          isOpen=${isOpen} kind=${kind} marksOf=${marksOf}
        />`,
      )}
    </div>
    ${kind !== "text" && html`<${Key} kind=${kind} />`}
  </section>`;
}

function has(response, kind) {
  if (!Array.isArray(response.token_ids)) return false;
  if (kind === "advantage") return typeof response.advantage === "number" || Array.isArray(response.advantage);
  if (kind === "logprob") return Array.isArray(response.logprobs);
  return Array.isArray(response.trainer_logprobs);
}

function Key({ kind }) {
  const words = {
    advantage: ["below the group's mean", "above it"],
    logprob: ["unlikely", null],
    trainer: ["unlikely", null],
    gap: ["less likely for the trainer than for the engine", "more likely"],
  }[kind];
  return html`<p class="key">
    <i class="minus" /> ${words[0]} ${words[1] && html`<i class="plus" /> ${words[1]}`}
  </p>`;
}

function Card({ response, number, shown, place, search, isOpen, kind, marksOf }) {
  const { reward, advantage, verdict, finish_reason: finish } = response;
  const facts = [];
  if (typeof response.num_tokens === "number") facts.push(plural(response.num_tokens, "token"));
  if (response.num_calls) facts.push(plural(response.num_calls, "call"));
  if (finish) facts.push(finish === "length" ? "cut at the limit" : plain(finish));
  if (response.model) facts.push(plain(response.model));
  const total = shown.tokens[number];
  const outcome = reward === null ? "none" : reward >= RIGHT ? "good" : "bad";
  return html`<article class="card">
    <header>
      <span class="number">${number + 1}</span>
      ${reward !== undefined &&
      html`<b class="reward ${outcome}">${reward === null ? "no verdict" : decimal(reward)}</b>`}
      ${typeof advantage === "number" &&
      html`<span class="advantage" title="advantage">A ${signed(advantage)}</span>`}
      <span class="grow" />
      <span class="facts ${finish === "length" ? "warn" : ""}">${facts.join(", ")}</span>
    </header>
    ${isObject(verdict) && html`<${Verdict} verdict=${verdict} search=${search} />`}
    <div class="body">
      ${kind !== "text" && has(response, kind)
        ? html`<${ResponseTokens} place=${place} response=${number} total=${total} kind=${kind} />`
        : html`${typeof response.reasoning_content === "string" &&
            response.reasoning_content &&
            html`<${Thinking} text=${response.reasoning_content} search=${search} isOpen=${isOpen} />`}
            ${Array.isArray(response.messages)
              ? html`<${Conversation}
                  messages=${response.messages} shown=${shown} place=${place} search=${search}
                  isOpen=${isOpen} marksOf=${marksOf}
                />`
              : html`<${Text} text=${plain(response.content ?? "")} search=${search} />`}`}
    </div>
    <${Numbers} title="Rewards" values=${response.rewards} />
    <${Numbers} title="Scores" values=${response.scores} />
  </article>`;
}

function Verdict({ verdict, search }) {
  const { verifier, status, extracted, detail, penalties } = verdict;
  return html`<dl class="verdict">
    ${extracted !== undefined &&
    extracted !== null &&
    html`<dt>Judged answer</dt><dd><${Text} text=${plain(extracted)} search=${search} /></dd>`}
    <dt>Verdict</dt>
    <dd>
      ${plain(verifier ?? "")}${status && status !== "ok" && html` <b class="bad">${plain(status)}</b>`}
      ${detail ? html`<span class="detail">${plain(detail)}</span>` : null}
    </dd>
    ${isObject(penalties) &&
    Object.entries(penalties).map(
      ([name, why]) => html`<dt class="bad">${name}</dt><dd>${plain(why)}</dd>`,
    )}
  </dl>`;
}

export function Numbers({ title, values }) {
  if (!isObject(values) || !Object.keys(values).length) return null;
  return html`<dl class="numbers" aria-label=${title}>
    ${Object.entries(values).map(([name, value]) => html`<dt>${name}</dt><dd>${shortly(value)}</dd>`)}
  </dl>`;
}

function shortly(value) {
  if (typeof value === "number") return decimal(value);
  const text = plain(value);
  return text.length > 300 ? `${text.slice(0, 300)}\u2026 (${count(text.length)} characters)` : text;
}
