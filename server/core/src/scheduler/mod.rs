//! Where the cluster's work goes: the column view, feasibility, ranking, reconciling, the broker.
