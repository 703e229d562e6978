/** What a release declares, for those who judge by it: gates look at the agent's code through the surface alone. */
export { Answered } from "../agent/Answered.ts"
export { type AnyDeclaration, declaredName, queueOf, retriesOf } from "../agent/Declaration.ts"
export type { AnyEntity } from "../agent/registry.ts"
