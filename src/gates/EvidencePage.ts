/**
 * Evidence as a page: one HTML file that needs nothing else, to be kept with a release or sent to somebody.
 *
 * The verdict comes first, then what led to it, then what was checked. Everything in it was written by gates, but names in it
 * come from manifests and databases: all of it is escaped.
 */
import type { Evidence, Finding, Severity, Verdict } from "./Evidence.ts"

const escapes: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;"
}
const escaped = (text: string): string => text.replace(/[&<>"']/g, (char) => escapes[char]!)

/** Colour never stands alone: the word is there as well. */
const verdictWord: Readonly<Record<Verdict, string>> = { passed: "PASSED", refused: "REFUSED", undecided: "UNDECIDED" }
const meaning: Readonly<Record<Verdict, string>> = {
  passed: "Nothing stands against this release here.",
  refused: "This release must not go on as it is.",
  undecided: "A person must look before this release goes on."
}
const severityWord: Readonly<Record<Severity, string>> = {
  hazard: "refuses the release",
  undecided: "asks for a person",
  note: "worth knowing"
}
const gravity: ReadonlyArray<Severity> = ["hazard", "undecided", "note"]

const style = `
:root { color-scheme: light dark; --ink: #1c1e21; --dim: #5d646d; --paper: #fff; --line: #d8dce1;
  --passed: #17663a; --refused: #a8201a; --undecided: #8a5a00; --note: #47607a }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --dim: #a3abb5; --paper: #17191c; --line: #3a4047;
  --passed: #6fcf97; --refused: #ff8a80; --undecided: #ffc857; --note: #9fb8d0 } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 60rem; padding: 2rem 1.25rem 4rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, sans-serif }
h1 { font-size: 1.6rem; margin: 0 0 .25rem } h2 { font-size: 1.15rem; margin: 2.5rem 0 .5rem } h3 { font-size: 1rem; margin: 0 }
p { margin: .35rem 0 } code, pre { font: .88em/1.45 ui-monospace, monospace; overflow-wrap: anywhere }
pre { margin: .4rem 0; padding: .6rem .8rem; border: 1px solid var(--line); border-radius: .3rem; white-space: pre-wrap }
.dim { color: var(--dim) } .verdict { font-weight: 700; letter-spacing: .02em }
.passed { color: var(--passed) } .refused, .hazard { color: var(--refused) } .undecided { color: var(--undecided) }
.note { color: var(--note) }
article { border-left: 4px solid currentColor; padding: .1rem 0 .1rem 1rem; margin: 1.1rem 0 }
article > * { color: var(--ink) } article .tag { color: inherit; font-size: .85rem; font-weight: 600 }
dl { display: grid; grid-template-columns: minmax(4rem, max-content) 1fr; gap: .25rem 1rem; margin: .5rem 0 }
dt { color: var(--dim) } dd { margin: 0; overflow-wrap: anywhere }
table { border-collapse: collapse; width: 100% } th, td { text-align: left; vertical-align: top; padding: .35rem .75rem .35rem 0;
  border-bottom: 1px solid var(--line); overflow-wrap: anywhere } th { font-weight: 600; white-space: nowrap }
section + section { border-top: 2px solid var(--line); margin-top: 3rem; padding-top: .5rem }
/* On a phone five columns are as wide as a word each: the list of gates becomes one of cards, and names of checks may break. */
@media (max-width: 40rem) { th { white-space: normal; width: 40% } .gates thead { display: none }
  .gates tr { display: block; padding: .5rem 0; border-bottom: 1px solid var(--line) } .gates td { display: block; border: 0; padding: 0 } }
@media print { body { max-width: none; padding: 0 } article { break-inside: avoid } }
`

const findingHtml = (finding: Finding): string => `
<article class="${finding.severity}">
  <p class="tag">${severityWord[finding.severity]}</p>
  <h3>${escaped(finding.what)}</h3>
  <dl>
    <dt>where</dt><dd><code>${escaped(finding.where)}</code></dd>
    <dt>why</dt><dd>${escaped(finding.why)}</dd>
    <dt>do</dt><dd>${escaped(finding.fix).replaceAll("\n", "<br>")}</dd>
    <dt>rule</dt><dd><code>${escaped(finding.rule)}</code></dd>
  </dl>${finding.detail === undefined ? "" : `\n  <pre>${escaped(finding.detail)}</pre>`}
</article>`

const placeOf = ({ target, rollout, phase }: Evidence): string =>
  [target, rollout, phase].filter((part) => part !== undefined).join(" / ")

const seconds = ({ startedAt, finishedAt }: Evidence): string =>
  `${((finishedAt.getTime() - startedAt.getTime()) / 1000).toFixed(1)} s`

const when = (date: Date): string =>
  date
    .toISOString()
    .replace("T", " ")
    .replace(/\.\d+Z$/, " UTC")

const section = (evidence: Evidence, index: number): string => {
  const { gate, verdict, findings, checks } = evidence
  const place = placeOf(evidence)
  const sorted = gravity.flatMap((severity) => findings.filter((finding) => finding.severity === severity))
  return `
<section id="gate-${index}">
  <h2>Gate ${escaped(gate)}: <span class="verdict ${verdict}">${verdictWord[verdict]}</span></h2>
  <p>${escaped(evidence.summary)}</p>
  <p class="dim">${place === "" ? "" : `${escaped(place)} · `}${when(evidence.startedAt)} · ${seconds(evidence)}</p>
  ${sorted.length === 0 ? "<p>No findings.</p>" : sorted.map(findingHtml).join("\n")}
  <h3>What was checked</h3>
  ${
    checks.length === 0
      ? "<p>Nothing: the gate ended before its first check.</p>"
      : `<table><tbody>${checks
          .map(({ name, result }) => `<tr><th scope="row">${escaped(name)}</th><td>${escaped(result)}</td></tr>`)
          .join("")}</tbody></table>`
  }
</section>`
}

/** The last word of each gate at each place: an earlier refusal that was put right does not stand any more. */
export const standing = (records: ReadonlyArray<Evidence>): ReadonlyArray<Evidence> => [
  ...new Map(records.map((record) => [`${record.gate} ${record.target ?? ""} ${record.phase ?? ""}`, record])).values()
]

const worst: ReadonlyArray<Verdict> = ["refused", "undecided", "passed"]

/** What stands of all of them together. Records come oldest first. */
export const verdictOfAll = (records: ReadonlyArray<Evidence>): Verdict =>
  worst.find((verdict) => standing(records).some((record) => record.verdict === verdict)) ?? "undecided"

/** One page about one release. Records come oldest first, and there is at least one. */
export const toHtml = (records: ReadonlyArray<Evidence>): string => {
  const release = records[0]?.release ?? "unknown"
  const verdict = verdictOfAll(records)
  const rows = records.map(
    (record, i) =>
      `<tr><td><a href="#gate-${i}">${escaped(record.gate)}</a></td><td class="verdict ${record.verdict}">${verdictWord[record.verdict]}</td><td>${escaped(placeOf(record)) || "–"}</td><td>${when(record.startedAt)}</td><td>${escaped(record.summary)}</td></tr>`
  )
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${verdictWord[verdict]}: release ${escaped(release.slice(0, 12))}</title>
<style>${style}</style>
</head>
<body>
<h1><span class="verdict ${verdict}">${verdictWord[verdict]}</span> release ${escaped(release.slice(0, 12))}</h1>
<p>${meaning[verdict]}</p>
<p class="dim">Release <code>${escaped(release)}</code></p>
${
  records.length < 2
    ? ""
    : `<h2>Gates, in the order in which they ran</h2>
<table class="gates"><thead><tr><th>gate</th><th>verdict</th><th>where</th><th>when</th><th></th></tr></thead><tbody>${rows.join("\n")}</tbody></table>`
}
${records.map(section).join("\n")}
</body>
</html>
`
}
