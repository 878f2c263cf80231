/**
 * Vitest reporter that prints why each skipped test was skipped. It writes the counts for scripts/test.mjs to AIM_TEST_COUNTS.
 */
import { writeFileSync } from 'node:fs';

export default class SkipReasons {
  onTestRunEnd(modules, errors) {
    const counts = { passed: 0, failed: errors.length, skipped: 0 };
    const reasons = new Map();
    for (const module of modules) {
      if (module.errors().length) counts.failed++;
      for (const test of module.children.allTests()) {
        const { state, note } = test.result();
        counts[state]++;
        if (state !== 'skipped') continue;
        const reason = note ?? 'no reason given';
        reasons.set(reason, [...(reasons.get(reason) ?? []), test.fullName]);
      }
    }
    for (const [reason, names] of reasons) process.stdout.write(`skipped (${reason}):\n${names.map((n) => `  ${n}\n`).join('')}`);
    if (process.env.AIM_TEST_COUNTS) writeFileSync(process.env.AIM_TEST_COUNTS, JSON.stringify(counts));
  }
}
