"""The data-set catalogue: one canonical record per data set (docs/data-sets.md)."""

from collections.abc import Mapping
from types import MappingProxyType

from schemas.records.base import DataSet, Record, data_set, f, need
from schemas.records.bureaus import (
    CreditListing,
    InvoiceSummary,
    Judicial,
    Mortgage,
    Penalty,
    Permit,
    ProvidentFund,
    RealEstate,
    Seizure,
    SocialInsurance,
    TaxArrears,
    TaxCredit,
    TaxReturn,
)
from schemas.records.finance import (
    BankInternal,
    CoreTrade,
    Guarantee,
    Honour,
    InternalListing,
    PolicySupport,
    Receivable,
    Voucher,
)
from schemas.records.register import (
    AbnormalListing,
    AnnualReport,
    KeyPerson,
    Registration,
    RegistrationState,
    Shareholder,
)

__all__ = ["CATALOGUE", "DataSet", "ProvidentFund", "Record", "RegistrationState", "f", "need"]

_MODELS: dict[str, type[Record]] = {
    "registration": Registration,
    "shareholders": Shareholder,
    "key_persons": KeyPerson,
    "abnormal_list": AbnormalListing,
    "annual_report": AnnualReport,
    "social_insurance": SocialInsurance,
    "provident_fund": ProvidentFund,
    "real_estate": RealEstate,
    "mortgages": Mortgage,
    "seizures": Seizure,
    "tax_returns": TaxReturn,
    "tax_credit": TaxCredit,
    "tax_arrears": TaxArrears,
    "invoices": InvoiceSummary,
    "judicial": Judicial,
    "permits": Permit,
    "penalties": Penalty,
    "credit_lists": CreditListing,
    "receivables": Receivable,
    "vouchers": Voucher,
    "core_trade": CoreTrade,
    "guarantees": Guarantee,
    "honours": Honour,
    "policy_support": PolicySupport,
    "bank_internal": BankInternal,
    "internal_lists": InternalListing,
}

CATALOGUE: Mapping[str, DataSet] = MappingProxyType({n: data_set(n, m) for n, m in _MODELS.items()})
"""Every data set by name, in the order in which a profile shows them."""
