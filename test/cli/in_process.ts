/** Calls a command in this process. */
import { vi } from 'vitest';
import { type Command, parse } from '../../src/cli/command.js';

/** Runs a command and gives what it wrote to stderr. */
export async function call(command: Command, ...args: string[]): Promise<string> {
  let text = '';
  const mute = (stream: NodeJS.WriteStream) =>
    vi.spyOn(stream, 'write').mockImplementation((part) => {
      if (stream === process.stderr) text += part;
      return true;
    });
  const spies = [mute(process.stdout), mute(process.stderr)];
  try {
    await command.run(parse(command, args)!, new AbortController().signal);
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
  return text;
}
