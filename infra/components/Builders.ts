/**
 * Cloud Build: what starts a build, where it runs and with whose rights.
 *
 * Three accounts, since three kinds of code run there: `main` (reviewed; may push images, sign them and create releases), pull requests
 * (anybody's; may write logs, and comment on the request), drills (may break and restore the environments that allow it).
 */
import * as gcp from "@pulumi/gcp"
import * as pulumi from "@pulumi/pulumi"
import * as names from "../names.ts"
import type { SharedSettings } from "../settings.ts"
import { BuildCache } from "./BuildCache.ts"

export class Builders extends pulumi.ComponentResource {
  /** E-mails. */
  readonly builder: pulumi.Output<string>
  readonly driller: pulumi.Output<string>
  readonly drillTrigger: pulumi.Output<string>

  constructor(name: string, settings: SharedSettings, options?: pulumi.ComponentResourceOptions) {
    super("agents:delivery:Builders", name, {}, options)
    const parent = { parent: this }
    const project = names.deliveryProject
    const account = (accountId: string, displayName: string) =>
      new gcp.serviceaccount.Account(`${name}-${accountId}`, { project, accountId, displayName }, parent)
    const builder = account(names.builderAccount, "Builds images of main, creates releases")
    const checker = account(names.checkerAccount, "Checks pull requests")
    const driller = account(names.drillerAccount, "Carries out drills that need Google Cloud")
    this.builder = builder.email
    this.driller = driller.email

    const grant = (who: string, what: string, role: string, member: pulumi.Input<string>) =>
      new gcp.projects.IAMMember(`${name}-${who}-${what}`, { project, role, member }, parent)
    for (const [who, { member }] of Object.entries({ builder, checker, driller })) {
      grant(who, "logs", "roles/logging.logWriter", member)
    }
    grant("builder", "releases", "roles/clouddeploy.releaser", builder.member)
    grant("builder", "scans", "roles/ondemandscanning.admin", builder.member)
    // Attestations and the list of what is in an image are written as occurrences.
    grant("builder", "occurrences", "roles/containeranalysis.occurrences.editor", builder.member)
    new gcp.artifactregistry.RepositoryIamMember(
      `${name}-builder-pushes`,
      {
        project,
        location: names.region,
        repository: names.registry,
        role: "roles/artifactregistry.writer",
        member: builder.member
      },
      parent
    )
    // Release sources go here. Without a bucket of our own, gcloud would have to be allowed to create one.
    const sources = new gcp.storage.Bucket(
      `${name}-sources`,
      {
        project,
        name: names.releaseBucket,
        location: names.region,
        uniformBucketLevelAccess: true,
        publicAccessPrevention: "enforced",
        lifecycleRules: [{ action: { type: "Delete" }, condition: { age: 365 } }],
        labels: names.labels(names.shared, "delivery")
      },
      parent
    )
    new gcp.storage.BucketIAMMember(
      `${name}-builder-sources`,
      { bucket: sources.name, role: "roles/storage.objectUser", member: builder.member },
      parent
    )
    new BuildCache(`${name}-cache`, { builder: builder.member, checker: checker.member }, parent)
    // Its value is put in by a person: a token that may comment on pull requests of one repository, and nothing else.
    const comment = new gcp.secretmanager.Secret(
      `${name}-comment-token`,
      {
        project,
        secretId: names.commentSecret,
        replication: { userManaged: { replicas: [{ location: names.region }] } },
        labels: names.labels(names.shared, "delivery")
      },
      parent
    )
    new gcp.secretmanager.SecretIamMember(
      `${name}-checker-comments`,
      { project, secretId: comment.secretId, role: "roles/secretmanager.secretAccessor", member: checker.member },
      parent
    )

    // Machines of our own: what builds a release shares none with strangers, and their kind is known.
    const pool = new gcp.cloudbuild.WorkerPool(
      `${name}-pool`,
      {
        project,
        name: names.workerPool,
        location: names.region,
        workerConfig: { machineType: "e2-highcpu-8", diskSizeGb: 100, noExternalIp: false }
      },
      parent
    )
    new gcp.projects.IAMMember(
      `${name}-builder-pool`,
      { project, role: "roles/cloudbuild.workerPoolUser", member: builder.member },
      { ...parent, dependsOn: [pool] }
    )

    const { connection, name: repositoryName } = settings.repository
    const repository = `projects/${project}/locations/${names.region}/connections/${connection}/repositories/${repositoryName}`
    const place = { project, location: names.region }
    new gcp.cloudbuild.Trigger(
      `${name}-main`,
      {
        ...place,
        name: names.triggers.main,
        description: "A push to main is built, checked and released",
        repositoryEventConfig: { repository, push: { branch: "^main$" } },
        filename: "cloudbuild.yaml",
        serviceAccount: builder.name
      },
      { ...parent, dependsOn: [pool] }
    )
    new gcp.cloudbuild.Trigger(
      `${name}-pr`,
      {
        ...place,
        name: names.triggers.pullRequest,
        description: "A pull request is checked, with hardly any rights",
        repositoryEventConfig: {
          repository,
          // Of people from outside only when a maintainer says so: their code would run on our account.
          pullRequest: { branch: "^main$", commentControl: "COMMENTS_ENABLED_FOR_EXTERNAL_CONTRIBUTORS_ONLY" }
        },
        filename: "cloudbuild.pr.yaml",
        serviceAccount: checker.name,
        includeBuildLogs: "INCLUDE_BUILD_LOGS_WITH_STATUS"
      },
      parent
    )
    const drills = new gcp.cloudbuild.Trigger(
      `${name}-drills`,
      {
        ...place,
        name: names.triggers.drills,
        description: "Drills, by schedule (stack observe) or by hand",
        sourceToBuild: { repository, ref: "refs/heads/main", repoType: "GITHUB" },
        gitFileSource: { path: "cloudbuild.drills.yaml", repository, revision: "refs/heads/main", repoType: "GITHUB" },
        serviceAccount: driller.name
      },
      parent
    )
    this.drillTrigger = drills.triggerId
    this.registerOutputs({})
  }
}
