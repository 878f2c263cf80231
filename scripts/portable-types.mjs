/** Rollup plugin for declarations: users' compilers need neither a recent TypeScript nor the types of a browser or of WebGPU. */

/**
 * Names of web platforms that the API mentions, and what stands for each where the user's project does not declare it: a Node
 * project has no ImageData, a project without @types/node and DOM has none of them.
 */
const PLATFORM = {
  AbortSignal: '{ readonly aborted: boolean }',
  Blob: '{ readonly size: number; arrayBuffer(): Promise<ArrayBuffer> }',
  File: '{ readonly name: string; readonly size: number; arrayBuffer(): Promise<ArrayBuffer> }',
  ImageData: '{ readonly width: number; readonly height: number; readonly data: Uint8ClampedArray }',
  URL: '{ readonly href: string }',
};

/** Typed arrays are generic since TypeScript 5.7. What `of` returns is the array with a buffer of its own, in all versions. */
const OWN_BUFFER = /\b(\w+Array)<ArrayBuffer>/g;

/** @returns {import('rollup').Plugin} */
export function portableTypes() {
  return {
    name: 'aim-portable-types',
    renderChunk(code) {
      const own = new Set();
      const text = code.replace(OWN_BUFFER, (_, array) => {
        own.add(array);
        return `Own${array}`;
      });
      // Comments may mention a name, which does no harm.
      const platform = Object.entries(PLATFORM).filter(([name]) => new RegExp(`\\b${name}\\b`).test(text));
      const lines = [
        ...[...own].map((array) => `type Own${array} = ReturnType<typeof ${array}.of>;`),
        ...platform.map(
          ([name, instead]) => `type ${name} = typeof globalThis extends { ${name}: { prototype: infer T } } ? T : ${instead};`,
        ),
      ];
      return { code: [...lines, text].join('\n'), map: null };
    },
  };
}
