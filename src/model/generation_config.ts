/**
 * generation_config.json: the sampling settings that a checkpoint recommends, by the names of Hugging Face's GenerationConfig. A chunk
 * of its own, because few checkpoints have one.
 */
import { CheckpointError } from '../core/errors.js';
import { jsonFile, parseJson } from '../core/json.js';
import { accepted, accepts, shown } from '../core/options.js';
import { type RemoteOptions, warn } from '../io/bytes.js';
import { type ModelSampling, SAMPLING } from './sampler.js';

/** The fields that are read, and what they are called here. */
const FIELDS = {
  guidance_scale: 'cfgScale',
  temperature: 'temperature',
  top_k: 'topK',
  top_p: 'topP',
  min_p: 'minP',
} as const satisfies Record<string, keyof ModelSampling>;

/**
 * The settings in the text of a generation_config.json, and the names of its other fields, which nothing here uses. A field that is null
 * counts as left out. Throws CheckpointError for a value that the option does not take, and for what is no object.
 *
 * @param name Name of the file, for messages.
 */
export function parseGenerationConfig(text: string, name: string): { sampling: ModelSampling; ignored: string[] } {
  let json: unknown;
  try {
    json = parseJson(text);
  } catch {}
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw new CheckpointError(
      `${name} must be a JSON object, such as { "guidance_scale": 2, "top_p": 0.95 }; correct it or take it away.`,
    );
  const sampling: ModelSampling = {};
  const ignored: string[] = [];
  for (const [field, value] of Object.entries(json)) {
    const option = Object.hasOwn(FIELDS, field) ? FIELDS[field as keyof typeof FIELDS] : undefined;
    if (option === undefined) ignored.push(field);
    else if (value !== null) {
      const spec = SAMPLING[option];
      if (!accepts(spec, value))
        throw new CheckpointError(`${name}: ${field} is ${shown(value)}; it must be ${accepted(spec)} (${spec.about}).`);
      sampling[option] = value;
    }
  }
  return { sampling, ignored };
}

/** The settings in the text of a generation_config.json; other fields are named to `onWarning`. Throws like `parseGenerationConfig`. */
export function recommended(text: string, name: string, options: RemoteOptions): ModelSampling {
  const { sampling, ignored } = parseGenerationConfig(text, name);
  if (ignored.length) warn(options, `${name} has fields that are not used: ${ignored.join(', ')}.`);
  return sampling;
}

/** The file of these settings; none if there are no settings. */
export function generationConfigFiles(sampling: ModelSampling): { name: string; data: Uint8Array }[] {
  const fields = Object.entries(FIELDS).flatMap(([field, option]) =>
    sampling[option] === undefined ? [] : [[field, sampling[option]]],
  );
  return fields.length ? [{ name: 'generation_config.json', data: jsonFile(Object.fromEntries(fields)) }] : [];
}
