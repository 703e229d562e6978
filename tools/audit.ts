/**
 * `make audit`: what npm's registry knows to be wrong with the packages that the image holds.
 *
 * `npm audit` ends with 1 both when it found something and when nobody answered it. Here the two are apart: 10 refuses, 12 says that
 * nothing is known. A build stops at either: no answer is not a clean bill.
 */
import { execFile } from "node:child_process"
import { join } from "node:path"
import { Either, Schema } from "effect"
import { ExitCode } from "../src/domain/ExitCode.ts"

const Advisory = Schema.Struct({ title: Schema.String, url: Schema.String, severity: Schema.String })
const Report = Schema.Struct({
  vulnerabilities: Schema.Record({
    key: Schema.String,
    value: Schema.Struct({
      severity: Schema.String,
      range: Schema.String,
      // A name: it is hit through that package, which has an entry of its own.
      via: Schema.Array(Schema.Union(Schema.String, Advisory))
    })
  }),
  metadata: Schema.Struct({
    dependencies: Schema.Struct({ total: Schema.Number }),
    vulnerabilities: Schema.Struct({ critical: Schema.Number, total: Schema.Number })
  })
})
/** What npm prints instead of a report when the registry did not give one. */
const Failure = Schema.Struct({ message: Schema.String })

export interface Verdict {
  readonly exitCode: ExitCode
  readonly says: string
}

/** What the output of `npm audit --json` means. */
export const verdict = (output: string): Verdict => {
  const decoded = Schema.decodeUnknownEither(Schema.parseJson(Report))(output)
  if (Either.isLeft(decoded)) {
    const failure = Schema.decodeUnknownEither(Schema.parseJson(Failure))(output)
    const said = Either.isRight(failure) ? failure.right.message : output.trim().split("\n")[0] || "no output"
    return {
      exitCode: ExitCode.preconditionMissing,
      says: `The registry's audit was not to be had: ${said}
No package was found to be bad, and none to be good: nothing is known. A release that nobody asked about does not go on.
Try again; a registry that stands in for npm's may have no audit at all: then run "make audit" with one that has (npm_config_registry).`
    }
  }
  const { metadata, vulnerabilities } = decoded.right
  const { critical, total } = metadata.vulnerabilities
  const found = Object.entries(vulnerabilities).map(([name, { range, severity, via }]) => {
    const why = via.map((one) => (typeof one === "string" ? `through ${one}` : `${one.title} (${one.url})`))
    return `  ${severity.padEnd(8)} ${name} ${range}: ${why.join(", ")}`
  })
  const counted = `${metadata.dependencies.total} packages: ${critical} critical findings, ${total - critical} below.`
  if (critical === 0) return { exitCode: ExitCode.passed, says: [counted, ...found].join("\n") }
  return {
    exitCode: ExitCode.refused,
    says: [
      counted,
      ...found,
      "Somebody who knows of it can use it against what the image runs. Raise the package in package.json; if there is no mended version,",
      "docs/runbooks/build-refused.md says how to go on."
    ].join("\n")
  }
}

const LIMIT_MS = 120_000

if (import.meta.main) {
  const options = { cwd: join(import.meta.dirname, ".."), maxBuffer: 64 * 1_024 * 1_024, timeout: LIMIT_MS }
  execFile("npm", ["audit", "--omit=dev", "--json"], options, (_, output) => {
    const { exitCode, says } = verdict(output)
    ;(exitCode === ExitCode.passed ? process.stdout : process.stderr).write(`${says}\n`)
    process.exitCode = exitCode
  })
}
