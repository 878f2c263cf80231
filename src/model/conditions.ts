/** The conditions, by the name that `condition` gives them in config.json. Nothing else in src asks which a model has. */
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

/** Reads a model's condition from config.json; the authors' files name none and mean a label. */
export const parseCondition = (config: Fields): AnyConditionConfig =>
  CONDITIONS[config.choice('condition', Object.keys(CONDITIONS) as ConditionName[], 'label')].parse(config);
