/** A format whose reader reports the damage of every file, for soak.test.ts. */
let calls = 0;

export const echoing = {
  format: {
    bases: () => [new Uint8Array(0)],
    damage: ({ random }) => Buffer.from(String(random())),
    // The sound file is read first.
    read: async (_, bytes) => (calls++ ? new TextDecoder().decode(bytes) : undefined),
  },
};
