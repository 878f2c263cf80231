/** Translates a compiler's messages about a shader to places in the files of shaders/. */
import type { Assembled } from './assemble.js';

/** Lists the errors among a compiler's messages, each with its place and source line. */
export function mistakes({ label, code, places }: Assembled, messages: Iterable<GPUCompilationMessage>): string {
  const rows = code.split('\n');
  const found: string[] = [];
  for (const { type, lineNum, linePos, message } of messages) {
    if (type !== 'error') continue;
    const place = places[lineNum - 1];
    const where = place ? `shaders/${place.file}:${place.line}:${linePos}` : `line ${lineNum}:${linePos} of generated text`;
    found.push(`${where} ${message}\n    ${rows[lineNum - 1]?.trim() ?? ''}`);
  }
  return `the kernel ${label} does not compile:\n${found.join('\n')}`;
}
