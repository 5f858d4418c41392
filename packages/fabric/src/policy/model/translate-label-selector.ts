import { allOf, type Selector } from '../../selector/selector.ts';
import type { LabelSelector, PodsSubject } from '../documents/resources.ts';

/** A label selector of Kubernetes as a {@link Selector}; `prefix` stands before each key. */
export function translateLabelSelector(
  { matchLabels, matchExpressions }: LabelSelector,
  prefix: '' | 'ns:' = '',
): Selector {
  const labels = Object.entries(matchLabels).map(
    ([key, value]): Selector => ({ is: 'equal', key: prefix + key, value }),
  );
  const expressions = matchExpressions.map((expression) => translateExpression(expression, prefix));
  return allOf(...labels, ...expressions);
}

function translateExpression(
  { key, operator, values }: LabelSelector['matchExpressions'][number],
  prefix: string,
): Selector {
  const has: Selector = { is: 'has', key: prefix + key };
  const isIn: Selector = { is: 'in', key: prefix + key, values };
  switch (operator) {
    case 'In':
      return isIn;
    case 'NotIn':
      return { is: 'not', of: isIn };
    case 'Exists':
      return has;
    case 'DoesNotExist':
      return { is: 'not', of: has };
  }
}

/** `namespaces` or `pods` of the cluster-wide kinds. */
export function translatePods({ namespaceSelector, podSelector }: PodsSubject): Selector {
  return allOf(
    translateLabelSelector(namespaceSelector, 'ns:'),
    podSelector && translateLabelSelector(podSelector),
  );
}
