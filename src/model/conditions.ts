/** The table of conditions, by the name in `condition` of config.json. A new one is a file and a line in condition_list.ts. */
import type { Condition, ConditionConfig } from './condition.js';
import * as list from './condition_list.js';
import type { Fields } from './fields.js';

export const CONDITIONS = { ...list };

type ConditionName = keyof typeof CONDITIONS;
/** The configuration of any condition. */
export type AnyConditionConfig = ReturnType<(typeof CONDITIONS)[ConditionName]['parse']>;

/** The condition that a configuration belongs to. */
export const conditionOf = ({ type }: ConditionConfig): Condition => CONDITIONS[type as ConditionName];

/** Reads a model's condition from config.json. The authors' files do not name one; their condition is a label. */
export const parseCondition = (config: Fields): AnyConditionConfig =>
  CONDITIONS[config.choice('condition', Object.keys(CONDITIONS) as ConditionName[], 'label')].parse(config);
