/**
 * The part of a compose file that `make stack` carries out, and nothing beside it: a key that it does not know is refused by
 * name, since to pass over it would start another stack than the file says.
 */
import { Data, Either, ParseResult, Schema } from "effect"
import { parse } from "yaml"

export class ComposeRefused extends Data.TaggedError("ComposeRefused")<{ readonly message: string }> {}

const Condition = Schema.Literal("service_healthy", "service_started", "service_completed_successfully")
const Seconds = Schema.transform(Schema.String.pipe(Schema.pattern(/^\d+s$/)), Schema.Number, {
  decode: (text) => Number(text.slice(0, -1)),
  encode: (seconds) => `${seconds}s`
})

const Service = Schema.Struct({
  image: Schema.optional(Schema.String),
  build: Schema.optional(
    Schema.Struct({
      context: Schema.Literal("."),
      target: Schema.optional(Schema.String),
      args: Schema.optional(Schema.Record({ key: Schema.String, value: Schema.String }))
    })
  ),
  entrypoint: Schema.optional(Schema.NonEmptyArray(Schema.String)),
  command: Schema.optional(Schema.NonEmptyArray(Schema.String)),
  environment: Schema.optionalWith(Schema.Record({ key: Schema.String, value: Schema.String }), {
    default: () => ({})
  }),
  configs: Schema.optionalWith(
    Schema.Array(Schema.Struct({ source: Schema.String, target: Schema.String.pipe(Schema.startsWith("/")) })),
    { default: () => [] }
  ),
  ports: Schema.optionalWith(Schema.Array(Schema.String.pipe(Schema.pattern(/^127\.0\.0\.1:\d+:\d+$/))), {
    default: () => []
  }),
  depends_on: Schema.optionalWith(
    Schema.Record({ key: Schema.String, value: Schema.Struct({ condition: Condition }) }),
    { default: () => ({}) }
  ),
  healthcheck: Schema.optional(
    Schema.Struct({
      test: Schema.Array(Schema.String).pipe(
        Schema.filter((test) => (test[0] === "CMD" && test.length > 1) || 'a list that begins with "CMD"')
      ),
      interval: Seconds,
      retries: Schema.Int
    })
  ),
  stop_grace_period: Schema.optionalWith(Seconds, { default: () => 10 })
})
export type Service = typeof Service.Type

const File = Schema.Struct({
  name: Schema.String,
  services: Schema.Record({ key: Schema.String, value: Service }),
  configs: Schema.Record({ key: Schema.String, value: Schema.Struct({ content: Schema.String }) })
})
export type Compose = typeof File.Type

/** Each service after those that it waits for. */
export const inOrder = ({ services }: Compose): ReadonlyArray<string> => {
  const order: Array<string> = []
  const visit = (name: string, path: ReadonlyArray<string>) => {
    const service = services[name]
    if (service === undefined)
      throw new ComposeRefused({ message: `${path.at(-1)} depends on ${name}, which is no service of the file.` })
    if (path.includes(name))
      throw new ComposeRefused({ message: `Services wait for one another for ever: ${[...path, name].join(" -> ")}.` })
    if (order.includes(name)) return
    for (const [other, { condition }] of Object.entries(service.depends_on)) {
      visit(other, [...path, name])
      if (condition === "service_healthy" && services[other]?.healthcheck === undefined)
        throw new ComposeRefused({ message: `${name} waits for ${other} to be healthy, which has no health check.` })
    }
    order.push(name)
  }
  for (const name of Object.keys(services)) visit(name, [])
  return order
}

export const readCompose = (text: string): Compose => {
  // Keys that begin with x- are for anchors, which are resolved by now.
  const document: unknown = parse(text, { merge: true })
  const named = Object.entries(typeof document === "object" && document !== null ? document : {})
  const read = Schema.decodeUnknownEither(File, { onExcessProperty: "error", errors: "all" })(
    Object.fromEntries(named.filter(([key]) => !key.startsWith("x-")))
  )
  if (Either.isLeft(read)) {
    const issues = ParseResult.ArrayFormatter.formatErrorSync(read.left)
    throw new ComposeRefused({
      message: issues.map(({ path, message }) => `${path.join(".")}: ${message}`).join("\n")
    })
  }
  for (const [name, { configs }] of Object.entries(read.right.services)) {
    for (const { source } of configs) {
      if (read.right.configs[source] === undefined)
        throw new ComposeRefused({ message: `${name} mounts ${source}, which is no config of the file.` })
    }
  }
  inOrder(read.right)
  return read.right
}
