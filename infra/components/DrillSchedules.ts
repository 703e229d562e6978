/** Drills that need Google Cloud, by the clock: Cloud Scheduler starts the trigger of `cloudbuild.drills.yaml`. */
import * as gcp from "@pulumi/gcp"
import * as pulumi from "@pulumi/pulumi"
import * as names from "../names.ts"

export class DrillSchedules extends pulumi.ComponentResource {
  constructor(
    name: string,
    args: {
      readonly environment: names.Environment
      /** Drill to schedule (UTC). */
      readonly drills: Readonly<Record<string, string>>
      /** Id of the trigger. */
      readonly trigger: pulumi.Output<string>
      /** E-mail of the account that the drills run as. */
      readonly driller: pulumi.Output<string>
    },
    options?: pulumi.ComponentResourceOptions
  ) {
    super("agents:observe:DrillSchedules", name, {}, options)
    const parent = { parent: this }
    const project = names.deliveryProject
    const scheduler = new gcp.serviceaccount.Account(
      `${name}-scheduler`,
      { project, accountId: `${names.scheduleAccount}-${args.environment}`, displayName: "Starts drills by the clock" },
      parent
    )
    const role = new gcp.projects.IAMCustomRole(
      `${name}-start-role`,
      {
        project,
        roleId: `agentsStartDrills_${args.environment}`,
        title: "Start a trigger",
        permissions: ["cloudbuild.builds.create", "cloudbuild.builds.get"]
      },
      parent
    )
    new gcp.projects.IAMMember(`${name}-starts`, { project, role: role.name, member: scheduler.member }, parent)
    new gcp.serviceaccount.IAMMember(
      `${name}-acts-as-driller`,
      {
        serviceAccountId: pulumi.interpolate`projects/${project}/serviceAccounts/${args.driller}`,
        role: "roles/iam.serviceAccountUser",
        member: scheduler.member
      },
      parent
    )
    for (const [drill, schedule] of Object.entries(args.drills)) {
      new gcp.cloudscheduler.Job(
        `${name}-${drill}`,
        {
          project,
          region: names.region,
          name: `drill-${args.environment}-${drill}`,
          schedule,
          timeZone: "Etc/UTC",
          attemptDeadline: "60s",
          // A drill that failed is a finding; starting it again would hide it.
          retryConfig: { retryCount: 0 },
          httpTarget: {
            httpMethod: "POST",
            uri: pulumi.interpolate`https://cloudbuild.googleapis.com/v1/projects/${project}/locations/${names.region}/triggers/${args.trigger}:run`,
            headers: { "Content-Type": "application/json" },
            body: Buffer.from(
              JSON.stringify({ source: { substitutions: { _DRILL: drill, _ENVIRONMENT: args.environment } } })
            ).toString("base64"),
            oauthToken: { serviceAccountEmail: scheduler.email }
          }
        },
        parent
      )
    }
    this.registerOutputs({})
  }
}
