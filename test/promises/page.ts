/** `docs/system.md`, from the list of promises. */
import { type Promised, promises } from "./promises.ts"

const shown = ({ tests, make, open, note }: Promised) =>
  [
    ...tests.map(([file, name]) => `  - \`${file}\`: ${name}`),
    ...(make === undefined ? [] : [`  - \`make ${make}\``]),
    ...(note === undefined ? [] : [`  - note: ${note}`]),
    ...(open === undefined ? [] : [`  - **open**: ${open}`])
  ].join("\n")

export const page = (): string => {
  const held = promises.filter(({ open }) => open === undefined)
  return `# What the system promises, and what shows it

Written by \`make system-doc\` from \`test/promises/promises.ts\`; a test fails when a test that is named here is gone. ${held.length} of ${promises.length} promises
hold as a whole; of the others it says what is missing.

${promises.map((each) => `- [${each.open === undefined ? "x" : " "}] **${each.id}** ${each.says}\n${shown(each)}`).join("\n")}
`
}
