/** The table of conditions, by the name in `condition` of config.json. Only this file knows which conditions exist. */
import type { Condition, ConditionConfig } from './condition.js';
import type { Fields } from './fields.js';
import { labelCondition } from './label_condition.js';

export const CONDITIONS = {
  label: labelCondition,
};

type ConditionName = keyof typeof CONDITIONS;
/** The configuration of any condition. */
export type AnyConditionConfig = ReturnType<(typeof CONDITIONS)[ConditionName]['parse']>;

/** The condition that a configuration belongs to. */
export const conditionOf = ({ type }: ConditionConfig): Condition => CONDITIONS[type as ConditionName];

/** Reads a model's condition from config.json. The authors' files do not name one; their condition is a label. */
export const parseCondition = (config: Fields): AnyConditionConfig =>
  CONDITIONS[config.choice('condition', Object.keys(CONDITIONS) as ConditionName[], 'label')].parse(config);
