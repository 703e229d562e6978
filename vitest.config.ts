import { defineConfig } from "vitest/config"

const shared = {
  // One Postgres server for the whole run; every test makes its own database in it.
  globalSetup: ["test/support/postgres-server.ts"],
  pool: "forks" as const,
  // Far from what any test takes: they wait for conditions, and a machine that does other work too is no reason to fail.
  testTimeout: 120_000,
  hookTimeout: 180_000
}

/** Needs a cluster, so it is there only for `make test-cluster`: nothing is skipped elsewhere. */
const cluster = {
  test: {
    testTimeout: 120_000,
    hookTimeout: 120_000,
    name: "cluster",
    include: ["test/cluster/**/*.test.ts"],
    poolOptions: { forks: { singleFork: true } },
    sequence: { groupOrder: 3 }
  }
}

export default defineConfig({
  test: {
    // What a passing test logs on the way is noise; a failing one shows all of it.
    silent: "passed-only",
    // The default leaves one of two cores idle.
    maxWorkers: 2,
    minWorkers: 1,
    projects: [
      {
        test: {
          ...shared,
          name: "parts",
          include: [
            "src/**/*.test.ts",
            "infra/**/*.test.ts",
            "test/*.test.ts",
            "test/{drivers,hazards,rehearsal,support}/**/*.test.ts"
          ],
          sequence: { groupOrder: 1 }
        }
      },
      {
        // Whole systems of several processes, with bounds on how long a takeover may take: one file at a time, and by itself.
        test: {
          ...shared,
          name: "system",
          include: ["test/system/**/*.test.ts"],
          poolOptions: { forks: { singleFork: true } },
          sequence: { groupOrder: 2 }
        }
      },
      ...(process.env["CLUSTER_IMAGE"] === undefined ? [] : [cluster])
    ]
  }
})
