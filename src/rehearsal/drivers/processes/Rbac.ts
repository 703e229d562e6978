/** Who may do what with pods: Roles of the namespace, given to service accounts by RoleBindings. Nothing else allows anything. */
import type { Role, RoleBinding } from "./Kinds.ts"

export interface Request {
  readonly serviceAccount: string
  readonly verb: "get" | "list" | "delete"
  /** The pod's name; absent when listing, which a rule with resourceNames therefore never allows. */
  readonly name?: string
}

const has = (list: ReadonlyArray<string>, value: string) => list.includes("*") || list.includes(value)

export const allowed = (
  request: Request,
  namespace: string,
  roles: ReadonlyArray<Role>,
  bindings: ReadonlyArray<RoleBinding>
): boolean =>
  bindings
    .filter(({ subjects = [] }) =>
      subjects.some(
        (subject) => subject.name === request.serviceAccount && (subject.namespace ?? namespace) === namespace
      )
    )
    .flatMap((binding) => roles.find(({ metadata }) => metadata.name === binding.roleRef.name)?.rules ?? [])
    .some(
      (rule) =>
        has(rule.apiGroups, "") &&
        has(rule.resources, "pods") &&
        has(rule.verbs, request.verb) &&
        (rule.resourceNames === undefined || (request.name !== undefined && rule.resourceNames.includes(request.name)))
    )
