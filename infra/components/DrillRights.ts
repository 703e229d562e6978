/**
 * What the drills may do to an environment: fail its database over, make and remove copies of it, and reach the cluster, where a Role of
 * the namespace lets them start Jobs. A copy's data is looked at there, and by nobody here.
 */
import * as gcp from "@pulumi/gcp"
import * as pulumi from "@pulumi/pulumi"
import * as names from "../names.ts"

export class DrillRights extends pulumi.ComponentResource {
  constructor(
    name: string,
    args: { readonly environment: names.Environment; readonly driller: pulumi.Output<string> },
    options?: pulumi.ComponentResourceOptions
  ) {
    super("agents:delivery:DrillRights", name, {}, options)
    const parent = { parent: this }
    const project = names.environmentProject(args.environment)
    const role = (key: string, title: string, permissions: Array<string>) =>
      new gcp.projects.IAMCustomRole(
        `${name}-${key}-role`,
        { project, roleId: `agents${key[0]!.toUpperCase()}${key.slice(1)}`, title, permissions },
        parent
      )
    const grant = (key: string, to: pulumi.Input<string>, condition?: { title: string; expression: string }) =>
      new gcp.projects.IAMMember(
        `${name}-${key}`,
        {
          project,
          role: to,
          member: pulumi.interpolate`serviceAccount:${args.driller}`,
          ...(condition === undefined ? {} : { condition })
        },
        parent
      )
    const failover = role("drill", "Fail a database over and copy it, and reach the cluster", [
      "container.clusters.connect",
      "container.clusters.get",
      "cloudsql.instances.get",
      "cloudsql.instances.list",
      "cloudsql.instances.failover",
      "cloudsql.instances.clone",
      "cloudsql.instances.create"
    ])
    const remove = role("removeCopies", "Remove copies of the database", ["cloudsql.instances.delete"])
    grant("drills", failover.name)
    // By name: the database itself is never deleted by a drill.
    grant("removes-copies", remove.name, {
      title: "copies only",
      expression: `resource.name.startsWith("projects/${project}/instances/${names.databaseInstance}-restore-")`
    })
    this.registerOutputs({})
  }
}
