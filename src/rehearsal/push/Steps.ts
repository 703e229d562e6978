/** What each step of `cloudbuild.yaml` means on a laptop. A step that stands in no table is refused: nobody said what it means. */
import { Schema } from "effect"
import { parse } from "yaml"
import { Build } from "../clouddeploy/CloudBuild.ts"

export type Step =
  /** The step's own command, in a work tree of the pushed commit. */
  | { readonly _tag: "Run"; readonly id: string; readonly command: readonly [string, ...ReadonlyArray<string>] }
  /** npm packages and tools: those of the server's repository, where they are the same. */
  | { readonly _tag: "Install"; readonly id: string }
  | { readonly _tag: "Images"; readonly id: string }
  | { readonly _tag: "Release"; readonly id: string; readonly pipeline: string }
  | { readonly _tag: "Nothing"; readonly id: string; readonly why: string }

export type Plan =
  | { readonly _tag: "Steps"; readonly steps: ReadonlyArray<Step> }
  | { readonly _tag: "Refused"; readonly reason: string }

const CHECKS = ["typecheck", "lint", "surface", "manifests", "migrations", "lint-delivery", "test"]
const NOTHING: Readonly<Record<string, string>> = {
  restore: "packages and tools of this machine serve",
  save: "packages and tools of this machine serve",
  dependencies: "a laptop may be offline; make audit asks what is known about packages",
  "smoke-image": "built together with image",
  push: "images stay on this machine, named by their content",
  scan: "no registry here that knows of vulnerabilities",
  attest: "no cluster here that asks for a signature"
}
/** As Cloud Deploy has it. */
const PIPELINE = /^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/
/** What a step's name may be. */
const KNOWN = ["tools", "install", ...CHECKS, "image", ...Object.keys(NOTHING), "release"]

const refused = (reason: string): Plan => ({ _tag: "Refused", reason })

const read = (text: string): Build | string => {
  try {
    return Schema.decodeUnknownSync(Build)(parse(text))
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

/** The steps of a build in their order, or why it can't be carried out here. */
export const plan = (cloudbuild: string): Plan => {
  const build = read(cloudbuild)
  if (typeof build === "string") return refused(`cloudbuild.yaml can't be read: ${build}`)
  const steps: Array<Step> = []
  for (const [index, step] of build.steps.entries()) {
    const { id, args } = step
    if (id === undefined)
      return refused(`Step ${index + 1} of cloudbuild.yaml has no id, so nobody can say what it means here.`)
    if (id === "tools" || id === "install") steps.push({ _tag: "Install", id })
    else if (CHECKS.includes(id)) {
      const [program, ...rest] = args ?? []
      if (program === undefined || step.entrypoint !== undefined || step.script !== undefined) {
        return refused(`Step "${id}" of cloudbuild.yaml is no plain command (args alone), so it can't be run here.`)
      }
      const substituted = [program, ...rest].find((word) => /\$[A-Z_{]/.test(word))
      if (substituted !== undefined)
        return refused(`Step "${id}" of cloudbuild.yaml uses ${substituted}, which has no value here.`)
      steps.push({ _tag: "Run", id, command: [program, ...rest] })
    } else if (id === "image") steps.push({ _tag: "Images", id })
    else if (Object.hasOwn(NOTHING, id)) steps.push({ _tag: "Nothing", id, why: NOTHING[id]! })
    else if (id === "release") {
      const pipeline = build.substitutions?.["_PIPELINE"]
      if (pipeline === undefined)
        return refused("cloudbuild.yaml says no _PIPELINE in its substitutions: where should the release go?")
      if (!PIPELINE.test(pipeline))
        return refused(`cloudbuild.yaml names the pipeline "${pipeline.slice(0, 80)}", which is no name of one.`)
      steps.push({ _tag: "Release", id, pipeline })
    } else {
      return refused(
        `Step "${id}" of cloudbuild.yaml has no meaning on this machine. Known are: ${KNOWN.join(", ")}. Give it one in src/rehearsal/push/Steps.ts.`
      )
    }
  }
  const release = steps.findIndex(({ _tag }) => _tag === "Release")
  if (release === -1) return refused('cloudbuild.yaml has no step "release": a push would lead to nothing.')
  if (!steps.slice(0, release).some(({ _tag }) => _tag === "Images")) {
    return refused('cloudbuild.yaml has no step "image" before "release": there would be nothing to release.')
  }
  return { _tag: "Steps", steps }
}
