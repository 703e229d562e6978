/**
 * What one stack tells another. A contract is a schema of outputs: the stack that makes them is checked against it by the compiler,
 * the stack that reads them decodes them, and says which stack must be deployed first when they are not there.
 */
import * as pulumi from "@pulumi/pulumi"
import { Either, ParseResult, Schema } from "effect"

export interface Contract<A extends Record<string, string>> {
  readonly project: Project
  readonly schema: Schema.Schema<A>
}

export const projects = ["foundation", "delivery", "platform", "observe"] as const
export type Project = (typeof projects)[number]

const Text = Schema.NonEmptyString
const contract = <F extends Record<string, typeof Text>>(project: Project, fields: F) => ({
  project,
  schema: Schema.Struct(fields) as unknown as Schema.Schema<{ readonly [K in keyof F]: string }>
})

export const foundation = contract("foundation", {
  network: Text,
  subnet: Text,
  edgeSubnet: Text,
  /** Its being there is what matters: a database with a private address can't be made before it. */
  peering: Text,
  databaseKey: Text,
  /** Of the region where a copy of the database may stand. */
  replicaKey: Text,
  clusterKey: Text
})

export const deliveryShared = contract("delivery", {
  builder: Text,
  automation: Text,
  driller: Text,
  attestor: Text,
  drillTrigger: Text
})

export const delivery = contract("delivery", { deployer: Text })

export const platform = contract("platform", {
  cluster: Text,
  instance: Text,
  /** `PROJECT:REGION:INSTANCE`. */
  connection: Text,
  /** BigQuery's way into the database. */
  analytics: Text,
  apiHost: Text,
  socketHost: Text
})

type Outputs<C> = C extends { readonly schema: Schema.Schema<infer A> }
  ? { readonly [K in keyof A]: pulumi.Output<string> }
  : never

/** The outputs of a stack, exactly those of its contract. */
export const publish = <C extends typeof foundation | typeof deliveryShared | typeof delivery | typeof platform>(
  _contract: C,
  outputs: { readonly [K in keyof Outputs<C>]: pulumi.Input<string> }
): Record<string, pulumi.Output<string>> =>
  Object.fromEntries(
    Object.entries<pulumi.Input<string>>(outputs as Record<string, pulumi.Input<string>>).map(([key, value]) => [
      key,
      pulumi.output(value)
    ])
  )

/** Full names, as the state bucket has them. */
export const stackName = (project: Project, stack: string): string => `organization/agents-${project}/${stack}`

/** Reads another stack's outputs and decodes them. */
export const read = <A extends { readonly [K in keyof A]: string }>(
  { project, schema }: { readonly project: Project; readonly schema: Schema.Schema<A> },
  stack: string
): { readonly [K in keyof A]: pulumi.Output<string> } => {
  const name = stackName(project, stack)
  const reference = new pulumi.StackReference(name)
  const outputs = reference.outputs.apply((found) => {
    const decoded = Schema.decodeUnknownEither(schema, { errors: "all" })(found ?? {})
    if (Either.isRight(decoded)) return decoded.right
    const missing = ParseResult.ArrayFormatter.formatErrorSync(decoded.left).map(({ path }) => path.join("."))
    throw new pulumi.RunError(
      `The stack ${name} has no usable output ${missing.join(", ")}, which this stack needs. Deploy it first: cd infra/stacks/${project} && pulumi up --stack ${stack}`
    )
  })
  const fields = Object.keys((schema as unknown as { readonly fields: Record<string, unknown> }).fields)
  return Object.fromEntries(
    fields.map((field) => [field, outputs.apply((found) => String(found[field as keyof A]))])
  ) as unknown as { readonly [K in keyof A]: pulumi.Output<string> }
}
