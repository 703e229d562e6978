import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts", "infra/**/*.test.ts"],
    // One Postgres server for the whole run; every test file makes its own database in it.
    globalSetup: ["test/support/postgres-server.ts"],
    pool: "forks",
    testTimeout: 60_000,
    hookTimeout: 120_000
  }
})
