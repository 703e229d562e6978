/** `docs/platform.md`: the components of every stack and what depends on what, from the program's own graph. */
import type { CapturedStack } from "./testing/capture.ts"

const component = (parent: string): string => parent.split("::")[0]?.split(":").at(-1) ?? ""

const graph = (stacks: ReadonlyArray<CapturedStack>): ReadonlyArray<string> => {
  const lines: Array<string> = []
  for (const { project, resources, stack } of stacks) {
    const parents = new Map(resources.map(({ name, parent, type }) => [`${type}::${name}`, component(parent)]))
    const names = [...new Set(parents.values())].filter((name) => name !== "")
    if (names.length === 0) continue
    const id = (name: string) => `${project}_${stack}_${name}`
    const count = (name: string) => resources.filter(({ parent }) => component(parent) === name).length
    lines.push(`  subgraph ${project}_${stack}["${project} / ${stack}"]`)
    for (const name of names) lines.push(`    ${id(name)}["${name} (${count(name)})"]`)
    lines.push("  end")
    const edges = new Set(
      resources.flatMap(({ dependencies, parent }) =>
        dependencies.flatMap((dependency) => {
          const [from, to] = [component(parent), parents.get(dependency) ?? ""]
          return from === "" || to === "" || from === to ? [] : [`  ${id(from)} --> ${id(to)}`]
        })
      )
    )
    lines.push(...[...edges].sort())
  }
  return lines
}

export const platformPage = (stacks: ReadonlyArray<CapturedStack>): string =>
  [
    "# What the stacks make",
    "",
    "Written by `make infra-docs` from the program's own graph; a test fails when it is not up to date. An arrow leads to what must be there",
    "first; the number is that of resources.",
    "",
    "| Stack | Resources |",
    "| --- | --- |",
    ...stacks.map(({ project, resources, stack }) => `| ${project} / ${stack} | ${resources.length} |`),
    "",
    "```mermaid",
    "flowchart LR",
    ...graph(stacks.filter(({ stack }) => stack === "shared" || stack === "prod")),
    "```",
    ""
  ].join("\n")
