/**
 * The `aim` command. Exit status: 0 done, 1 a check failed, 2 bad input or no device, 70 a fault of the program; 128 + its number
 * when ended by a signal.
 */
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { AimError } from '../core/errors.js';
import { type Command, helpOf, parse } from './command.js';
import * as commands from './commands.js';
import { ignoreClosedPipes, print, say } from './terminal.js';

const COMMANDS: readonly Command[] = Object.values(commands);

/**
 * Signals that end a process, each of which gives work the chance to save: Ctrl-C, those of systems that stop a service or a job
 * (SIGUSR1 and SIGXCPU are the warnings of batch queues before a limit), a terminal that closes, Ctrl-\ and Ctrl-Break.
 */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2', 'SIGXCPU', 'SIGALRM', 'SIGBREAK'] as const;

function overview(commands: readonly Command[]): string {
  const rows = commands.map(({ name, usage, summary }) => [[name, usage].filter(Boolean).join(' '), summary] as const);
  const width = Math.max(...rows.map(([left]) => left.length));
  const list = rows.map(([left, summary]) => `  ${left.padEnd(width)}  ${summary}`).join('\n');
  const end = '`aim COMMAND --help` shows the options of a command, `aim --version` the version.';
  return `usage: aim COMMAND [options]\n\n${list}\n\n${end}\n`;
}

/** The command that the first words name, and the rest of them. */
function find(argv: readonly string[]): { command: Command; rest: string[] } | undefined {
  for (const command of COMMANDS) {
    const words = command.name.split(' ');
    if (words.every((word, i) => argv[i] === word)) return { command, rest: argv.slice(words.length) };
  }
  return undefined;
}

/** Handles command lines that name no command: help, the version, or a mistake. */
function other(argv: readonly string[]): number {
  const [name] = argv;
  if (name === '--version' || name === '-v') {
    const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
    print(`${version}\n`);
    return 0;
  }
  const help = (word: string | undefined) => word === '--help' || word === '-h' || word === 'help';
  if (name === undefined || help(name)) {
    print(overview(COMMANDS));
    return 0;
  }
  const family = COMMANDS.filter((c) => c.name.startsWith(`${name} `));
  if (family.length > 0 && help(argv[1])) {
    print(overview(family));
    return 0;
  }
  say(
    family.length > 0
      ? `aim: ${name}: say what: ${family.map((c) => `\`aim ${c.name} ${c.usage}\``).join(' or ')}.\n`
      : `aim: there is no command ${JSON.stringify(name)}\n\n${overview(COMMANDS)}`,
  );
  return 2;
}

async function main(argv: string[]): Promise<number> {
  ignoreClosedPipes();
  const called = find(argv);
  if (!called) return other(argv);
  const { command, rest } = called;
  const abort = new AbortController();
  let status = 0;
  // A system lacks some of them.
  const known = SIGNALS.filter((name) => name in constants.signals);
  const stops = known.map((name) => {
    const stop = () => {
      status = 128 + constants.signals[name];
      abort.abort(new DOMException('interrupted', 'AbortError'));
      // The same signal again ends the process at once.
      process.removeListener(name, stop);
    };
    process.on(name, stop);
    return () => process.removeListener(name, stop);
  });
  try {
    const given = parse(command, rest);
    if (given) return await command.run(given, abort.signal);
    print(helpOf(command));
    return 0;
  } catch (error) {
    if (abort.signal.aborted) {
      say('aim: interrupted\n');
      return status;
    }
    if (error instanceof AimError) {
      say(`aim: ${error.message}\n`);
      return 2;
    }
    say(`aim: unexpected error, please report it:\n${(error as Error)?.stack ?? error}\n`);
    return 70;
  } finally {
    for (const end of stops) end();
  }
}

// No top-level await: Rollup puts dynamically imported modules below this line.
void main(process.argv.slice(2)).then((code) => {
  process.exitCode = code;
});
